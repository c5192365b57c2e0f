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

use crate::{
    module::{
        cleanup,
        registry::{
            self,
            Kind,
            ModuleResource, //
        }, //
    },
    shim,
    sync::{
        context,
        deadlock::{
            self,
            Awaited,
            ServerId,
            Waiter, //
        },
        latch::Latch,
        lock_class::{
            new_mutex,
            new_work, //
        },
        oneshot, //
    },
    util::backoff::Backoff, //
};
use core::{
    cell::UnsafeCell,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    impl_has_work,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        Mutex,
        SetOnce, //
    },
    task::Task,
    time::Delta,
    workqueue::{
        Work,
        WorkItem, //
    }, //
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

/// Returns true if the current task is a thread of some server, and so runs what that waits for when it
/// stops. In a task that may sleep.
pub(crate) fn is_of_a_server() -> bool {
    Thread::with_current(|thread| thread.server.is_some()) == Some(true)
}

/// The current task, for [`deadlock::wait_for`]; `None` if it is none of the kernel's own, for nothing
/// of the library depends on such a one. In a task that may sleep.
pub(crate) fn current_waiter() -> Option<Waiter> {
    // SAFETY: Only reads flags of the current task.
    unsafe { shim::ktcp_in_kernel_thread() }.then(|| {
        let is_worker = context::in_worker();
        Waiter {
            task: Task::current_raw().addr(),
            server: if is_worker {
                registry::polled_by_current()
            } else {
                Thread::with_current(|thread| thread.server).flatten()
            },
            is_worker,
        }
    })
}

/// The body of a thread, whatever the type of its closure.
trait Body: Send {
    /// Calls the closure and passes on what it returns. Called once.
    fn run(&mut self, stop: &Stop);
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
    fn run(&mut self, stop: &Stop) {
        if let Some((function, sender)) = self.call.take() {
            sender.send_with(|| function(stop));
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

/// The function of every thread. Not generic, so that it is code of the library, which is there until
/// the thread has exited, and so that a thread of the library is known by it.
///
/// # Safety
///
/// `data` comes from `Arc::<Thread>::into_raw`, that reference passes to this call, and it is the only
/// one for that thread.
unsafe extern "C" fn main(data: *mut c_void) -> c_int {
    // SAFETY: By this function's contract.
    let thread = unsafe { Arc::from_raw(data.cast_const().cast::<Thread>()) };
    thread.task_id.store(Task::current_raw().addr(), Relaxed);
    // SAFETY: The thread runs, so that by its invariants `body` is ours.
    let body = unsafe { &mut *thread.body.get() }.take();
    if let Some(mut body) = body {
        body.run(&Stop(thread.clone()));
        // With this, nothing is left of the closure.
        drop(body);
    }
    thread.end();
    0
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
        if let Some(task) = &*self.thread.task.lock() {
            // SAFETY: By its invariant the task is valid.
            unsafe { shim::ktcp_unbind_kthread(task.0.as_ptr()) };
        }
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

/// The right to stop a task, once.
///
/// # Invariants
///
/// `0` is a kernel thread on which this value owns a reference; nothing else calls `kthread_stop` on
/// it.
struct Joinable(NonNull<bindings::task_struct>);

// SAFETY: Any task may stop a thread and release the reference on it.
unsafe impl Send for Joinable {}

impl Drop for Joinable {
    /// Waits until the thread has exited. One that was not yet woken exits without having run.
    fn drop(&mut self) {
        // SAFETY: By the type invariant this is a kernel thread on which we own a reference, which
        // this call releases, and nothing else stops it.
        unsafe { bindings::kthread_stop_put(self.0.as_ptr()) };
    }
}

/// Bits of [`Thread::fate`].
const ENDED: u32 = 1;
const LEFT: u32 = 2;

/// A thread, whatever its closure is. No code of any other module is needed for it once `body` is gone.
///
/// # Invariants
///
/// `body` belongs to the thread once that is woken, before that to the task that starts it.
#[pin_data]
struct Thread {
    name: CString,
    /// Of which it is a part, if it is not a thread of a module.
    server: Option<ServerId>,
    /// Its number in the registry, if it is there.
    number: SetOnce<usize>,
    /// Taken by the thread before it calls it.
    body: UnsafeCell<Option<KBox<dyn Body>>>,
    /// Which task it is, once it runs; only compared.
    task_id: Atomic<usize>,
    /// Until it is joined.
    #[pin]
    task: Mutex<Option<Joinable>>,
    /// Opened when it is to end.
    #[pin]
    stop: Latch,
    /// Opened by itself when its closure has returned and is dropped.
    #[pin]
    ended: Latch,
    /// Opened when it has exited.
    #[pin]
    gone: Latch,
    /// `ENDED` and `LEFT`, each of which is added once: whichever comes second has it joined.
    fate: Atomic<u32>,
    #[pin]
    work: Work<Thread>,
}

// SAFETY: What `body` holds is `Send`; the rest is so by itself.
unsafe impl Send for Thread {}

// SAFETY: By the type invariant `body` has one user at a time; the rest is `Sync` by itself.
unsafe impl Sync for Thread {}

impl_has_work! {
    impl HasWork<Self> for Thread { self.work }
}

impl WorkItem for Thread {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        if this.ended.is_open() {
            this.finish();
        } else {
            // Its handle was dropped where one must not sleep. When it ends it has itself joined: a worker
            // that waited for that would be missing where others wait for workers.
            this.request_stop();
        }
    }
}

impl Thread {
    /// A thread that is not there yet. May sleep.
    ///
    /// Not inlined: what runs as its work item is to be code of the library, for it outlives the
    /// thread, and so perhaps the module.
    #[inline(never)]
    fn new(server: Option<ServerId>, name: &CStr, body: KBox<dyn Body>) -> Result<Arc<Self>> {
        let name = CString::try_from(name)?;
        // INVARIANT: It is not woken yet.
        Arc::pin_init(
            pin_init!(Self {
                name,
                server,
                number: SetOnce::new(),
                body: UnsafeCell::new(Some(body)),
                task_id: Atomic::new(0),
                task <- new_mutex!(None),
                stop <- Latch::new(),
                ended <- Latch::new(),
                gone <- Latch::new(),
                fate: Atomic::new(0),
                work <- new_work!("ktcp_server::Thread"),
            }),
            GFP_KERNEL,
        )
    }

    /// Calls `f` with the thread that the current task is, if it is one of the library. In a task that
    /// may sleep.
    fn with_current<R>(f: impl FnOnce(&Self) -> R) -> Option<R> {
        // SAFETY: May be asked in any task.
        let data = unsafe { shim::ktcp_kthread_data(main) };
        // SAFETY: A thread that runs `main` was made with an `Arc<Thread>`, which `main` keeps for as
        // long as it calls anything.
        unsafe { data.cast_const().cast::<Self>().as_ref() }.map(f)
    }

    /// Has it run; when that fails, its closure is dropped and was not called. May sleep.
    #[inline(never)]
    fn start(self: &Arc<Self>, module: Option<&'static ThisModule>, cpu: Option<u32>) -> Result {
        let data = Arc::into_raw(self.clone());
        self.start_with(module, cpu, data).inspect_err(|_| {
            // SAFETY: The thread was not woken, or is not there at all: by the invariants `body` is
            // still ours.
            let body = unsafe { &mut *self.body.get() }.take();
            drop(body);
            // SAFETY: As above, so that `main` never takes this reference, which comes from `into_raw`.
            drop(unsafe { Arc::from_raw(data) });
        })
    }

    fn start_with(
        self: &Arc<Self>,
        module: Option<&'static ThisModule>,
        cpu: Option<u32>,
        data: *const Self,
    ) -> Result {
        // SAFETY: `main` takes an `Arc<Thread>`; the format string takes one string, which is copied.
        let raw = from_err_ptr(unsafe {
            bindings::kthread_create_on_node(
                Some(main),
                data.cast_mut().cast(),
                bindings::NUMA_NO_NODE,
                c"%s".as_char_ptr(),
                self.name.as_char_ptr(),
            )
        })?;
        // The thread exists, but sleeps until it is woken. The reference keeps it valid after it has
        // exited.
        // SAFETY: `kthread_create_on_node` succeeded, so `raw` is valid, and sleeps.
        let task = unsafe {
            bindings::get_task_struct(raw);
            // INVARIANT: We have just taken the reference, and no other task knows the thread.
            Joinable(NonNull::new_unchecked(raw))
        };
        if let Some(cpu) = cpu {
            // Without memory for that, the thread ends without having run.
            // SAFETY: The thread was not woken yet.
            to_result(unsafe { shim::ktcp_prefer_cpu(raw, cpu) })?;
        }
        *self.task.lock() = Some(task);

        if let Some(module) = module {
            registry::list(module, |number| {
                self.number.populate(number);
                self.clone()
            })
            .inspect_err(|_| {
                // It was not woken, so it ends without having run.
                let task = self.task.lock().take();
                drop(task);
            })?;
        }
        // The end of the module may have woken it already, and even have seen its end.
        if let Some(task) = &*self.task.lock() {
            // SAFETY: By its invariant the task is valid.
            unsafe { bindings::wake_up_process(task.0.as_ptr()) };
        }
        Ok(())
    }

    /// Ends the thread, by itself, as the last that it does.
    fn end(self: &Arc<Self>) {
        self.ended.open();
        if self.fate.fetch_add(ENDED, Full) & LEFT != 0 {
            cleanup::defer(self.clone());
        }
    }

    /// There is no handle any more.
    fn leave(self: &Arc<Self>) {
        if self.fate.fetch_add(LEFT, Full) & ENDED != 0 {
            cleanup::defer(self.clone());
        }
    }

    /// The handle is dropped, unless it was joined or detached.
    fn close(self: &Arc<Self>) {
        if self.fate.load(Relaxed) & LEFT != 0 || self.gone.is_open() {
            return;
        }
        if context::must_not_sleep() {
            self.stop.open();
            self.leave();
            // Beside what `leave` may defer: it has the thread interrupted.
            cleanup::defer(self.clone());
            return;
        }
        self.request_stop();
        if self.wait().is_err() {
            self.leave();
        }
    }

    fn request_stop(&self) {
        self.stop.open();
        self.interrupt();
    }

    /// Has what the thread waits for fail, as [`request_stop`](Self::request_stop) does.
    fn interrupt(&self) {
        if let Some(task) = &*self.task.lock() {
            // SAFETY: By its invariant the task is valid.
            unsafe { shim::ktcp_interrupt_kthread(task.0.as_ptr()) };
        }
    }

    /// Like [`finish`](Self::finish), and fails with `EDEADLK` when the thread waits for the caller.
    fn wait(&self) -> Result {
        if self.ended.is_open() {
            // It waits for nothing any more.
            self.finish();
            return Ok(());
        }
        deadlock::wait_for(current_waiter(), self, || self.finish())
    }

    /// Returns when the thread has exited. Sleeps; not to be called by the thread itself.
    fn finish(&self) {
        // Not by `kthread_stop` alone: it would interrupt what the thread waits for, and if it came
        // before the first instruction of the thread, the closure would never run.
        while !self.ended.wait_timeout(Delta::from_secs(10)) {
            if self.stop.is_open() {
                pr_warn!("{}: waiting for a thread that does not end\n", &*self.name);
            }
        }
        let task = self.task.lock().take();
        match task {
            // The thread may still have to return from `main`.
            Some(task) => {
                drop(task);
                if let Some(number) = self.number.copy() {
                    registry::unlist(number);
                }
                self.gone.open();
            }
            None => self.gone.wait(),
        }
    }
}

impl Awaited for Thread {
    fn depends_on(&self, waiter: Waiter) -> bool {
        // Once it has ended its task may be gone, and another have the same address.
        self.task_id.load(Relaxed) == waiter.task && !self.ended.is_open()
    }
}

impl ModuleResource for Thread {
    fn kind(&self) -> Kind {
        Kind::Task
    }

    fn request_stop(&self) {
        Thread::request_stop(self);
    }

    fn shutdown(&self) {
        if self.fate.load(Relaxed) & LEFT == 0 {
            pr_warn!(
                "{}: the module goes without having joined its thread: waiting for it\n",
                &*self.name
            );
        }
        self.finish();
    }
}
