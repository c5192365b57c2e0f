// SPDX-License-Identifier: GPL-2.0

//! A thread, whatever its closure is.

use crate::{
    module::{
        cleanup,
        registry::{
            self,
            ModuleResource, //
            Stage,
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
        }, //
    }, //
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

/// The body of a thread, whatever the type of its closure.
pub(super) trait Body: Send {
    /// Calls the closure and passes on what it returns. Called once.
    fn run(&mut self, thread: &Arc<Thread>);
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
pub(super) struct Thread {
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
    pub(super) stop: Latch,
    /// Opened by itself when its closure has returned and is dropped.
    #[pin]
    pub(super) ended: Latch,
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
    pub(super) fn new(
        server: Option<ServerId>,
        name: &CStr,
        body: KBox<dyn Body>,
    ) -> Result<Arc<Self>> {
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
    pub(super) fn start(
        self: &Arc<Self>,
        module: Option<&'static ThisModule>,
        cpu: Option<u32>,
    ) -> Result {
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
    pub(super) fn leave(self: &Arc<Self>) {
        if self.fate.fetch_add(LEFT, Full) & ENDED != 0 {
            cleanup::defer(self.clone());
        }
    }

    /// The handle is dropped, unless it was joined or detached.
    pub(super) fn close(self: &Arc<Self>) {
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

    pub(super) fn request_stop(&self) {
        self.stop.open();
        self.interrupt();
    }

    /// Has what the thread waits for fail, as [`request_stop`](Self::request_stop) does.
    pub(super) fn interrupt(&self) {
        if let Some(task) = &*self.task.lock() {
            // SAFETY: By its invariant the task is valid.
            unsafe { shim::ktcp_interrupt_kthread(task.0.as_ptr()) };
        }
    }

    /// Like [`finish`](Self::finish), and fails with `EDEADLK` when the thread waits for the caller.
    pub(super) fn wait(&self) -> Result {
        if self.ended.is_open() {
            // It waits for nothing any more.
            self.finish();
            return Ok(());
        }
        deadlock::wait_for(current_waiter(), self, || self.finish())
    }

    /// Lets it run on any CPU, until the next one comes online. May sleep.
    pub(super) fn unbind(&self) {
        if let Some(task) = &*self.task.lock() {
            // SAFETY: By its invariant the task is valid.
            unsafe { shim::ktcp_unbind_kthread(task.0.as_ptr()) };
        }
    }

    /// Returns when the thread has exited. Sleeps; not to be called by the thread itself.
    pub(super) fn finish(&self) {
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
    fn stage(&self) -> Stage {
        Stage::Tasks
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
        body.run(&thread);
        // With this, nothing is left of the closure.
        drop(body);
    }
    thread.end();
    0
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
