// SPDX-License-Identifier: GPL-2.0

//! Kernel threads that run a closure and are joined.
//!
//! The counterpart of [`std::thread`](https://doc.rust-lang.org/std/thread/) for modules: a closure
//! moves into the thread, and [`JoinHandle::join`] returns its result. A thread can be asked to
//! [stop](Stop). No thread outlives its module: before the memory of a module is freed, its
//! remaining threads are stopped and joined, even if their handles were leaked.
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
//! A thread that computes a result:
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

/// Makes the current thread a `SCHED_BATCH` task: when woken, it does not preempt a running task.
pub(crate) fn use_batch_policy() {
    // SAFETY: The function only changes the scheduling policy of the current task.
    unsafe { shim::ktcp_sched_batch() };
}

/// Starts a kernel thread of `module` that runs `function`. `ps` shows `name`, at least its first
/// 15 bytes.
///
/// `module` is the module that contains the code of `function`; its `init` gets this reference.
/// Before that module is freed, the thread is asked to [stop](Stop) and waited for, even if its
/// handle was detached or leaked.
///
/// # Errors
///
/// On failure `function` is dropped without having run.
///
/// - `EINVAL`: `function` is not code of `module`.
/// - `ESHUTDOWN`: the module is being unloaded, so that it may start nothing more.
/// - `ENOMEM`, sometimes reported as `EAGAIN`.
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

/// Starts a thread of a server, which joins the thread when it stops. May sleep.
pub(crate) fn spawn_own<F, T>(server: ServerId, name: &CStr, function: F) -> Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    start(None, Some(server), None, name, move |_: &Stop| function())
}

/// Like [`spawn_own`], but the thread runs only on `cpu` while that is online, and on any CPU
/// otherwise.
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

/// A closure and the sender for its result.
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

/// A request to a thread to end, as seen by the thread.
///
/// After the request, every call in the thread that waits in a way that signals can interrupt
/// fails, now and later: [`TcpStream::read`] with `ERESTARTSYS` or `EINTR`, for example. So the
/// request also reaches a thread that is blocked in such a call.
///
/// [`TcpStream::read`]: crate::net::TcpStream::read
pub struct Stop(Arc<Thread>);

impl Stop {
    /// Returns true if the thread has been asked to end. Any context.
    pub fn is_requested(&self) -> bool {
        self.0.stop.is_open()
    }

    /// Waits until the thread is asked to end, for at most `at_most`. Returns true if it was asked.
    ///
    /// Sleeps.
    pub fn wait(&self, at_most: Delta) -> bool {
        self.0.stop.wait_timeout(at_most)
    }
}

/// The owner's handle of a kernel thread. Dropping it asks the thread to [stop](Stop) and joins it.
///
/// # Drops that do not join
///
/// - The thread itself drops the handle, or a task for which the thread waits, directly or through
///   others: the thread is asked to stop, and continues as if it had been [detached](Self::detach).
/// - A caller that must not sleep drops it: the same, slightly later.
/// - The handle is leaked: the thread runs until it ends or the module is unloaded, which stops the
///   thread, waits for it and logs a line. The memory of the handle stays leaked.
pub struct JoinHandle<T> {
    thread: Arc<Thread>,
    receiver: oneshot::Receiver<T>,
}

impl<T> JoinHandle<T> {
    /// Waits until the thread has ended, and returns the result of its closure.
    ///
    /// # Errors
    ///
    /// On failure the thread continues as if its handle had been dropped.
    ///
    /// - `EDEADLK`: the caller is the thread itself, or the thread waits for the caller, directly
    ///   or through others: by joining it, by flushing a queue that runs it, or by stopping a
    ///   server whose handler calls this.
    /// - `EBUSY`: the caller must not sleep.
    ///
    /// Sleeps.
    pub fn join(mut self) -> Result<T> {
        context::may_sleep()?;
        self.thread.wait()?;
        // The thread was woken, so its closure has run and sent a result.
        self.receiver.take(None)?.ok_or(ESRCH)
    }

    /// Asks the thread to [stop](Stop) and joins it.
    ///
    /// # Errors
    ///
    /// As for [`join`](Self::join).
    ///
    /// Sleeps. While the thread does not end, a line is logged every ten seconds.
    pub fn stop(self) -> Result<T> {
        self.request_stop();
        self.join()
    }

    /// Asks the thread to [stop](Stop) without waiting for it.
    ///
    /// May sleep.
    pub fn request_stop(&self) {
        self.thread.request_stop();
    }

    /// Lets a thread that prefers a CPU run on any CPU, until the next CPU comes online. May sleep.
    pub(crate) fn unbind(&self) {
        self.thread.unbind();
    }

    /// Returns true if the closure has returned. Any context.
    pub fn is_finished(&self) -> bool {
        self.receiver.is_sent()
    }

    /// Joins the thread. If it has not ended after `patience`, interrupts its waits, repeatedly
    /// until it ends. Sleeps.
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

    /// Detaches the thread. Its result is dropped, and its resources are freed when it ends. If its
    /// module is unloaded first, the thread is asked to stop and waited for.
    ///
    /// May sleep.
    pub fn detach(self) {
        self.thread.detach();
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        self.thread.close();
    }
}
