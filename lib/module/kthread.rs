// SPDX-License-Identifier: GPL-2.0

//! Kernel threads that run a closure and are joined.
//!
//! What [`std::thread`](https://doc.rust-lang.org/std/thread/) has for programs, for modules: a
//! closure is moved into the thread, and what it returns is joined out. A thread can be asked to
//! [stop](Stop), and no thread outlives its module: before the memory of a module is freed, the
//! threads that it has left running are stopped and joined, even if their handles were leaked.
//!
//! # Examples
//!
//! ```
//! use kernel::{
//!     prelude::*,
//!     time::Delta, //
//! };
//! use ktcp_server::kthread::{self, JoinHandle};
//!
//! /// Counts seconds for as long as it is loaded.
//! struct Seconds {
//!     _counter: JoinHandle<u64>,
//! }
//!
//! impl kernel::Module for Seconds {
//!     fn init(module: &'static ThisModule) -> Result<Self> {
//!         // Dropping the handle stops the thread and waits for it.
//!         let counter = kthread::spawn(module, c"seconds", |stop| {
//!             let mut seconds = 0;
//!             while !stop.wait(Delta::from_secs(1)) {
//!                 seconds += 1;
//!             }
//!             seconds
//!         })?;
//!         Ok(Self { _counter: counter })
//!     }
//! }
//! ```
//!
//! A result:
//!
//! ```
//! # use kernel::prelude::*;
//! # use ktcp_server::kthread;
//! # fn sum(module: &'static ThisModule) -> Result<u64> {
//! let summing = kthread::spawn(module, c"sum", |_| (1..=100).sum::<u64>())?;
//! summing.join()
//! # }
//! # assert_eq!(sum(&crate::THIS_MODULE)?, 5050);
//! ```
//!
//! C header: [`include/linux/kthread.h`](srctree/include/linux/kthread.h)

mod thread;

pub(crate) use self::thread::{
    current_waiter,
    is_of_a_server, //
};
use self::thread::{
    Body,
    Thread, //
};
use super::registry;
use crate::{
    shim,
    sync::{
        context,
        deadlock::ServerId,
        oneshot, //
    },
    util::backoff::Backoff, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::Delta, //
};

/// Has the current thread wait, from now on, until those that run have had their time when it is
/// woken, instead of interrupting them.
pub(crate) fn be_patient() {
    // SAFETY: Changes the scheduling policy of the current task.
    unsafe { shim::ktcp_sched_batch() };
}

/// Starts a kernel thread of `module` that runs `function`; `name` appears in `ps`, its first 15
/// bytes at least.
///
/// `module` is the one whose code `function` is, which its `init` is given: before that module goes,
/// the thread is asked to [stop](Stop) and waited for, whatever has become of its handle.
///
/// # Errors
///
/// `function` is dropped then, and has not run.
///
/// - `EINVAL`: `module` is not the one that calls this.
/// - `ESHUTDOWN`: the module is about to go, so that nothing of it may be started any more.
/// - `ENOMEM`, also in the guise of `EAGAIN`.
/// - `EINTR`: the calling task is being killed.
/// - `EBUSY`: the caller must not sleep.
///
/// May sleep.
pub fn spawn<F, T>(module: &'static ThisModule, name: &CStr, function: F) -> Result<JoinHandle<T>>
where
    F: FnOnce(&Stop) -> T + Send + 'static,
    T: Send + 'static,
{
    registry::check_owner(module, name, <Job<F, T> as Body>::run as *const ())?;
    start(Some(module), None, None, name, function)
}

/// Starts a thread that is a part of a server, which joins it when it stops. May sleep.
pub(crate) fn spawn_own<F, T>(server: ServerId, name: &CStr, function: F) -> Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    start(None, Some(server), None, name, move |_: &Stop| function())
}

/// Like [`spawn_own`], but the thread runs on this CPU alone while that is online, and elsewhere
/// while it is not.
pub(crate) fn spawn_preferring<F, T>(
    server: ServerId,
    cpu: u32,
    name: &CStr,
    function: F,
) -> Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    start(None, Some(server), Some(cpu), name, move |_: &Stop| {
        function()
    })
}

/// A closure, and where its result goes.
struct Job<F, T> {
    call: Option<(F, oneshot::Sender<T>)>,
}

impl<F, T> Body for Job<F, T>
where
    F: FnOnce(&Stop) -> T + Send,
    T: Send,
{
    fn run(&mut self, thread: &Arc<Thread>) {
        if let Some((function, sender)) = self.call.take() {
            let stop = Stop(thread.clone());
            sender.send_with(|| function(&stop));
        }
    }
}

fn start<F, T>(
    module: Option<&'static ThisModule>,
    server: Option<ServerId>,
    cpu: Option<u32>,
    name: &CStr,
    function: F,
) -> Result<JoinHandle<T>>
where
    F: FnOnce(&Stop) -> T + Send + 'static,
    T: Send + 'static,
{
    context::may_sleep()?;
    let (sender, receiver) = oneshot::channel()?;
    let job = Job {
        call: Some((function, sender)),
    };
    let thread = Thread::new(server, name, KBox::new(job, GFP_KERNEL)?)?;
    thread.start(module, cpu)?;
    Ok(JoinHandle { thread, receiver })
}

/// The request to a thread that it ends.
///
/// Once it has been asked to, calls that wait for a peer or another event in a way that signals can
/// interrupt fail in it, at once and from then on: [`TcpStream::read`] with `ERESTARTSYS` or `EINTR`,
/// for example. So a thread that is blocked in one hears of it, too.
///
/// [`TcpStream::read`]: crate::net::TcpStream::read
pub struct Stop(Arc<Thread>);

impl Stop {
    /// Returns true if the thread has been asked to end. Any context.
    pub fn is_requested(&self) -> bool {
        self.0.stop.is_open()
    }

    /// Waits until the thread is asked to end, `at_most` for that long; says whether it was.
    ///
    /// Sleeps.
    pub fn wait(&self, at_most: Delta) -> bool {
        self.0.stop.wait_timeout(at_most)
    }
}

/// The owner's end of a kernel thread. Dropping it asks the thread to [stop](Stop) and joins it.
///
/// # When it is dropped elsewhere, or not at all
///
/// - By the thread itself, or by a task that the thread waits for, be it by way of others: the thread
///   is asked to stop, and goes on as if it had been [detached](Self::detach).
/// - Where one must not sleep: likewise, a little later.
/// - Never, because the value was leaked: the thread runs until it ends or the module is unloaded,
///   which stops it and waits for it, with a line in the log. The memory of the value stays leaked.
pub struct JoinHandle<T> {
    thread: Arc<Thread>,
    receiver: oneshot::Receiver<T>,
}

impl<T> JoinHandle<T> {
    /// Waits until the thread has ended, and returns what its closure has returned.
    ///
    /// # Errors
    ///
    /// The thread goes on then as if its handle had been dropped.
    ///
    /// - `EDEADLK`: the thread would wait for its own end, be it by way of others: of a thread that
    ///   joins this one, of an item of a queue, or of a server that one of them stops, whose handler
    ///   this is.
    /// - `EBUSY`: the caller must not sleep.
    ///
    /// Sleeps.
    pub fn join(mut self) -> Result<T> {
        context::may_sleep()?;
        self.thread.wait()?;
        // It was woken, so it has run, and there is something to take.
        self.receiver.take(None)?.ok_or(ESRCH)
    }

    /// Asks the thread to [stop](Stop), and joins it.
    ///
    /// # Errors
    ///
    /// As for [`join`](Self::join).
    ///
    /// Sleeps. When that takes long, a line in the log says so every ten seconds.
    pub fn stop(self) -> Result<T> {
        self.request_stop();
        self.join()
    }

    /// Asks the thread to [stop](Stop), and does not wait.
    ///
    /// May sleep.
    pub fn request_stop(&self) {
        self.thread.request_stop();
    }

    /// Lets one that prefers a CPU run on any, until the next CPU comes online. May sleep.
    pub(crate) fn unbind(&self) {
        self.thread.unbind();
    }

    /// Returns true if the closure has returned. Any context.
    pub fn is_finished(&self) -> bool {
        self.receiver.is_sent()
    }

    /// Joins the thread; if it has not ended after `patience`, interrupts what it waits for, and again
    /// while it goes on. Sleeps.
    pub(crate) fn join_by(self, patience: Delta) {
        if !self.thread.ended.wait_timeout(patience) {
            let mut backoff = Backoff::new();
            loop {
                self.thread.interrupt();
                if self.thread.ended.wait_timeout(backoff.next_pause()) {
                    break;
                }
            }
        }
        self.thread.finish();
    }

    /// Lets the thread run on by itself. Its result is dropped. When it ends, nothing is left of it;
    /// when its module goes first, it is asked to stop, and waited for.
    ///
    /// May sleep.
    pub fn detach(self) {
        self.thread.leave();
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        self.thread.close();
    }
}
