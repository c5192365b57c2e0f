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
    error::EDEADLK,
    latch::Latch,
    lock_class::{
        new_mutex,
        new_work, //
    },
    outcome::{
        self,
        Expected,
        Promise, //
    },
    registry::{
        self,
        Kind,
        Resident, //
    },
    shim, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::from_err_ptr,
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

/// The time in jiffies. Any context.
pub(crate) fn jiffies() -> usize {
    // SAFETY: A word that C writes; whichever value is read is a time of this moment.
    unsafe { (&raw const bindings::jiffies).read_volatile() }
}

/// Has the current thread wait, from now on, until those that run have had their time when it is
/// woken, instead of interrupting them.
pub(crate) fn be_patient() {
    // SAFETY: Changes the scheduling policy of the current task.
    unsafe { shim::ktcp_sched_batch() };
}

/// Whether this CPU can run threads now.
pub(crate) fn is_online(cpu: u32) -> bool {
    // SAFETY: Any number may be asked for.
    unsafe { shim::ktcp_cpu_online(cpu) }
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
///
/// May sleep.
pub fn spawn<F, T>(module: &'static ThisModule, name: &CStr, function: F) -> Result<JoinHandle<T>>
where
    F: FnOnce(&Stop) -> T + Send + 'static,
    T: Send + 'static,
{
    registry::check_owner(module, name, run::<F, T> as *const ())?;
    start(Some(module), None, name, function)
}

/// Starts a thread of the library, which sees to it that it is joined in time. May sleep.
pub(crate) fn spawn_own<F, T>(name: &CStr, function: F) -> Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    start(None, None, name, move |_: &Stop| function())
}

/// Like [`spawn_own`], but the thread runs on this CPU alone, for as long as that is online.
pub(crate) fn spawn_on<F, T>(cpu: u32, name: &CStr, function: F) -> Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    start(None, Some(cpu), name, move |_: &Stop| function())
}

/// What a thread starts with.
struct Start<F, T> {
    function: F,
    promise: Promise<T>,
    stop: Stop,
}

fn start<F, T>(
    module: Option<&'static ThisModule>,
    cpu: Option<u32>,
    name: &CStr,
    function: F,
) -> Result<JoinHandle<T>>
where
    F: FnOnce(&Stop) -> T + Send + 'static,
    T: Send + 'static,
{
    let (promise, expected) = outcome::pair()?;
    let thread = Thread::new(name)?;
    let start = Start {
        function,
        promise,
        stop: Stop(thread.clone()),
    };
    let start = KBox::into_raw(KBox::new(start, GFP_KERNEL)?);
    // SAFETY: `run::<F, T>` takes what `start` is.
    unsafe { thread.start(module, cpu, run::<F, T>, start.cast()) }.inspect_err(|_| {
        // SAFETY: The thread has not taken `start`, and never will, so it is still ours alone.
        drop(unsafe { KBox::from_raw(start) });
    })?;
    Ok(JoinHandle { thread, expected })
}

/// What every thread runs.
///
/// # Safety
///
/// `data` comes from `KBox::<Start<F, T>>::into_raw`, and ownership passes to this call.
unsafe extern "C" fn run<F, T>(data: *mut c_void) -> c_int
where
    F: FnOnce(&Stop) -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: By this function's contract.
    let start = unsafe { KBox::from_raw(data.cast::<Start<F, T>>()) };
    let Start {
        function,
        promise,
        stop,
    } = KBox::into_inner(start);

    promise.keep(|| function(&stop));
    // What is left of this function is still code of the closure's module: whoever lets the module
    // go waits until the thread has exited.
    stop.0.end();
    0
}

/// How a thread learns that it is to end.
///
/// Once it has been asked to, calls that wait for a peer or another event in a way that signals can
/// interrupt fail in it, at once and from then on: [`TcpStream::read`] with `ERESTARTSYS` or `EINTR`,
/// for example. So a thread that is blocked in one hears of it, too.
///
/// [`TcpStream::read`]: crate::net::TcpStream::read
pub struct Stop(Arc<Thread>);

impl Stop {
    /// Whether the thread has been asked to end. Any context.
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
/// - By the thread itself, which cannot wait for its own end: the thread is asked to stop, and goes
///   on as if it had been [detached](Self::detach).
/// - Never, because the value was leaked: the thread runs until it ends or the module is unloaded,
///   which stops it and waits for it, with a line in the log. The memory of the value stays leaked.
pub struct JoinHandle<T> {
    thread: Arc<Thread>,
    expected: Expected<T>,
}

impl<T> JoinHandle<T> {
    /// Waits until the thread has ended, and returns what its closure has returned.
    ///
    /// # Errors
    ///
    /// `EDEADLK` when a thread would wait for its own end; it goes on as if its handle had been
    /// dropped.
    ///
    /// Sleeps.
    pub fn join(mut self) -> Result<T> {
        if self.thread.is_current() {
            return Err(EDEADLK);
        }
        self.thread.finish();
        // It was woken, so it has run, and there is something to take.
        self.expected.take()?.ok_or(ESRCH)
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

    /// Lets one that was bound to a CPU run on any from now on. May sleep.
    pub(crate) fn unbind(&self) {
        if let Some(task) = &*self.thread.task.lock() {
            // SAFETY: By its invariant the task is valid.
            unsafe { shim::ktcp_unbind_kthread(task.0.as_ptr()) };
        }
    }

    /// Whether the closure has returned. Any context.
    pub fn is_finished(&self) -> bool {
        self.expected.is_settled()
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
/// `0` is a kernel thread on which this value owns a reference; nobody else calls `kthread_stop` on
/// it.
struct Joinable(NonNull<bindings::task_struct>);

// SAFETY: Any task may stop a thread and release the reference on it.
unsafe impl Send for Joinable {}

impl Drop for Joinable {
    /// Waits until the thread has exited. One that was not yet woken exits without having run.
    fn drop(&mut self) {
        // SAFETY: By the type invariant this is a kernel thread on which we own a reference, which
        // this call releases, and nobody else stops it.
        unsafe { bindings::kthread_stop_put(self.0.as_ptr()) };
    }
}

/// Bits of [`Thread::fate`].
const ENDED: u32 = 1;
const LEFT: u32 = 2;

/// A thread, whatever its closure is. No code of any other module is needed for it.
#[pin_data]
struct Thread {
    name: CString,
    /// Its number in the registry, if it is there.
    number: SetOnce<usize>,
    /// Until somebody has joined it.
    #[pin]
    task: Mutex<Option<Joinable>>,
    /// Opened when it is to end.
    #[pin]
    stop: Latch,
    /// Opened by itself when its closure has returned.
    #[pin]
    ended: Latch,
    /// Opened when it has exited.
    #[pin]
    gone: Latch,
    /// `ENDED` and `LEFT`, each of which is added once: whoever adds the second has it joined.
    fate: Atomic<u32>,
    #[pin]
    work: Work<Thread>,
}

impl_has_work! {
    impl HasWork<Self> for Thread { self.work }
}

impl WorkItem for Thread {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.finish();
    }
}

impl Thread {
    /// A thread that is not there yet. May sleep.
    ///
    /// Not inlined: what runs as its work item is to be code of the library, for it outlives the
    /// thread, and so perhaps the module.
    #[inline(never)]
    fn new(name: &CStr) -> Result<Arc<Self>> {
        let name = CString::try_from(name)?;
        Arc::pin_init(
            pin_init!(Self {
                name,
                number: SetOnce::new(),
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

    /// Has it run `function(data)`; when that fails, `function` is not called. May sleep.
    ///
    /// # Safety
    ///
    /// `function` may be called with `data` by another task.
    #[inline(never)]
    unsafe fn start(
        self: &Arc<Self>,
        module: Option<&'static ThisModule>,
        cpu: Option<u32>,
        function: unsafe extern "C" fn(*mut c_void) -> c_int,
        data: *mut c_void,
    ) -> Result {
        // SAFETY: `function` takes `data`; the format string takes one string, which is copied.
        let raw = from_err_ptr(unsafe {
            bindings::kthread_create_on_node(
                Some(function),
                data,
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
            if let Some(cpu) = cpu {
                bindings::kthread_bind(raw, cpu);
            }
            // INVARIANT: We have just taken the reference, and nobody else knows the thread.
            Joinable(NonNull::new_unchecked(raw))
        };
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
        // Who stops its module may have woken it already, and even have seen its end.
        if let Some(task) = &*self.task.lock() {
            // SAFETY: By its invariant the task is valid.
            unsafe { bindings::wake_up_process(task.0.as_ptr()) };
        }
        Ok(())
    }

    /// What the thread itself does last.
    fn end(self: &Arc<Self>) {
        self.ended.open();
        if self.fate.fetch_add(ENDED, Full) & LEFT != 0 {
            registry::leave_to_janitor(self.clone());
        }
    }

    /// There is no handle any more.
    fn leave(self: &Arc<Self>) {
        if self.fate.fetch_add(LEFT, Full) & ENDED != 0 {
            registry::leave_to_janitor(self.clone());
        }
    }

    fn close(self: &Arc<Self>) {
        if self.fate.load(Relaxed) & LEFT != 0 {
            return;
        }
        self.request_stop();
        if self.is_current() {
            self.leave();
        } else {
            self.finish();
        }
    }

    fn is_current(&self) -> bool {
        let task = self.task.lock();
        task.as_ref()
            .is_some_and(|task| task.0.as_ptr() == Task::current_raw())
    }

    fn request_stop(&self) {
        self.stop.open();
        if let Some(task) = &*self.task.lock() {
            // SAFETY: By its invariant the task is valid.
            unsafe { shim::ktcp_interrupt_kthread(task.0.as_ptr()) };
        }
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
            // The thread may still have to return from `run`.
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

impl Resident for Thread {
    fn kind(&self) -> Kind {
        Kind::Task
    }

    fn ask(&self) {
        self.request_stop();
    }

    fn evict(&self) {
        if self.fate.load(Relaxed) & LEFT == 0 {
            pr_warn!(
                "{}: the module goes without having joined its thread: waiting for it\n",
                &*self.name
            );
        }
        self.finish();
    }
}
