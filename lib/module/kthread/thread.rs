// SPDX-License-Identifier: GPL-2.0

//! The part of a kernel thread that does not depend on the type of its closure.

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
    },
    util::cpu::node_of, //
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

/// The closure of a thread, independent of its type.
pub(super) trait Body: Send {
    /// Calls the closure and sends its result. Called once.
    fn run(&mut self, thread: &Arc<Thread>);
}

/// The right to stop a kernel thread, once.
///
/// # Invariants
///
/// `0` is a kernel thread to which this value owns a reference. No other code calls `kthread_stop`
/// for it.
struct Joinable(NonNull<bindings::task_struct>);

// SAFETY: Any task may stop a thread and release a reference to it.
unsafe impl Send for Joinable {}

impl Drop for Joinable {
    /// Waits until the thread has exited. A thread that was never woken exits without running its
    /// function.
    fn drop(&mut self) {
        // SAFETY: By the type invariant this is a kernel thread to which we own a reference, which
        // this call releases, and no other code stops it.
        unsafe { bindings::kthread_stop_put(self.0.as_ptr()) };
    }
}

/// Bits of [`Thread::flags`].
const ENDED: u32 = 1;
const DETACHED: u32 = 2;

/// A thread, independent of the type of its closure. Once `body` is dropped, it needs no code of
/// any other module.
///
/// # Invariants
///
/// `body` is accessed only by the thread once it is woken, and before that only by the task that
/// starts it.
#[pin_data]
pub(super) struct Thread {
    name: CString,
    /// The server that the thread belongs to; `None` for a thread of a module.
    server: Option<ServerId>,
    /// Number in the registry, if the thread is listed there.
    number: SetOnce<usize>,
    /// Taken by the thread before it runs.
    body: UnsafeCell<Option<KBox<dyn Body>>>,
    /// Address of the task once the thread runs; only compared.
    task_id: Atomic<usize>,
    /// `None` before the thread is created, and again once it is joined.
    #[pin]
    task: Mutex<Option<Joinable>>,
    /// Opened to ask the thread to end.
    #[pin]
    pub(super) stop: Latch,
    /// Opened by the thread when its closure has returned and is dropped.
    #[pin]
    pub(super) ended: Latch,
    /// Opened when the thread has exited.
    #[pin]
    exited: Latch,
    /// `ENDED` and `DETACHED`, each added once. The task that adds the second has the thread joined.
    flags: Atomic<u32>,
    #[pin]
    work: Work<Thread>,
}

// SAFETY: `body` is `Send`, and so are the other fields.
unsafe impl Send for Thread {}

// SAFETY: By the type invariant `body` has one user at a time; the other fields are `Sync`.
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
            // The handle was dropped by a task that must not sleep. The thread has itself joined
            // when it ends: if this worker waited for that, other items could lack a worker.
            this.request_stop();
        }
    }
}

impl Thread {
    /// Allocates a thread that is not started yet. May sleep.
    ///
    /// Not inlined: the work item outlives the thread, and perhaps the module, so the function that
    /// it runs must be code of the library.
    #[inline(never)]
    pub(super) fn new(
        server: Option<ServerId>,
        name: &CStr,
        body: KBox<dyn Body>,
    ) -> Result<Arc<Self>> {
        let name = CString::try_from(name)?;
        // INVARIANT: The thread is not woken yet.
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
                exited <- Latch::new(),
                flags: Atomic::new(0),
                work <- new_work!("ktcp_server::Thread"),
            }),
            GFP_KERNEL,
        )
    }

    /// Calls `f` with the `Thread` of the current task, if that is a thread of the library. In a
    /// task that may sleep.
    fn with_current<R>(f: impl FnOnce(&Self) -> R) -> Option<R> {
        // SAFETY: The function may be called in any task.
        let data = unsafe { shim::ktcp_kthread_data(main) };
        // SAFETY: A thread that runs `main` was created with an `Arc<Thread>`, which `main` holds
        // while it calls other code.
        unsafe { data.cast_const().cast::<Self>().as_ref() }.map(f)
    }

    /// Starts the thread. On failure its closure is dropped without having run. May sleep.
    #[inline(never)]
    pub(super) fn start(
        self: &Arc<Self>,
        module: Option<&'static ThisModule>,
        cpu: Option<u32>,
    ) -> Result {
        let data = Arc::into_raw(self.clone());
        self.start_with(module, cpu, data).inspect_err(|_| {
            // SAFETY: The thread was not woken, or not created at all: by the type invariant only
            // this task accesses `body`.
            let body = unsafe { &mut *self.body.get() }.take();
            drop(body);
            // SAFETY: As above, so `main` never takes this reference, which comes from `into_raw`.
            drop(unsafe { Arc::from_raw(data) });
        })
    }

    fn start_with(
        self: &Arc<Self>,
        module: Option<&'static ThisModule>,
        cpu: Option<u32>,
        data: *const Self,
    ) -> Result {
        // The thread's stack is best near the CPU on which it runs.
        let node = cpu.map_or(bindings::NUMA_NO_NODE, node_of);
        // SAFETY: `main` takes an `Arc<Thread>`. The format string takes one string, which is
        // copied.
        let raw = from_err_ptr(unsafe {
            bindings::kthread_create_on_node(
                Some(main),
                data.cast_mut().cast(),
                node,
                c"%s".as_char_ptr(),
                self.name.as_char_ptr(),
            )
        })?;
        // The new thread sleeps until it is woken. The reference keeps its task valid after it has
        // exited.
        // SAFETY: `kthread_create_on_node` succeeded, so `raw` is valid, and the thread sleeps.
        let task = unsafe {
            bindings::get_task_struct(raw);
            // INVARIANT: The reference was just taken, and no other task knows the thread.
            Joinable(NonNull::new_unchecked(raw))
        };
        if let Some(cpu) = cpu {
            // If this fails for lack of memory, the thread exits without having run.
            // SAFETY: The thread is not woken yet.
            to_result(unsafe { shim::ktcp_prefer_cpu(raw, cpu) })?;
        }
        *self.task.lock() = Some(task);

        if let Some(module) = module {
            registry::list(module, |number| {
                self.number.populate(number);
                self.clone()
            })
            .inspect_err(|_| {
                // The thread was not woken, so it exits without having run.
                let task = self.task.lock().take();
                drop(task);
            })?;
        }
        // The unload of the module may already have woken the thread, and even joined it.
        if let Some(task) = &*self.task.lock() {
            // SAFETY: By the invariant of `Joinable` the task is valid.
            unsafe { bindings::wake_up_process(task.0.as_ptr()) };
        }
        Ok(())
    }

    /// Marks the thread as ended. Called by the thread, as its last action.
    fn end(self: &Arc<Self>) {
        self.ended.open();
        if self.flags.fetch_add(ENDED, Full) & DETACHED != 0 {
            cleanup::defer(self.clone());
        }
    }

    /// Detaches the thread: it has itself joined when it ends.
    pub(super) fn detach(self: &Arc<Self>) {
        if self.flags.fetch_add(DETACHED, Full) & ENDED != 0 {
            cleanup::defer(self.clone());
        }
    }

    /// Drops the handle, unless the thread was joined or detached.
    pub(super) fn close(self: &Arc<Self>) {
        if self.flags.load(Relaxed) & DETACHED != 0 || self.exited.is_open() {
            return;
        }
        if context::must_not_sleep() {
            self.stop.open();
            self.detach();
            // `detach` defers the item only if the thread has ended. This one interrupts the thread.
            cleanup::defer(self.clone());
            return;
        }
        self.request_stop();
        if self.wait().is_err() {
            self.detach();
        }
    }

    pub(super) fn request_stop(&self) {
        self.stop.open();
        self.interrupt();
    }

    /// Makes interruptible waits of the thread fail, as [`request_stop`](Self::request_stop) does.
    pub(super) fn interrupt(&self) {
        if let Some(task) = &*self.task.lock() {
            // SAFETY: By the invariant of `Joinable` the task is valid.
            unsafe { shim::ktcp_interrupt_kthread(task.0.as_ptr()) };
        }
    }

    /// Like [`finish`](Self::finish), but fails with `EDEADLK` if the thread waits for the caller.
    pub(super) fn wait(&self) -> Result {
        if self.ended.is_open() {
            // An ended thread waits for no task, so there can be no deadlock.
            self.finish();
            return Ok(());
        }
        deadlock::wait_for(current_waiter(), self, || self.finish())
    }

    /// Lets the thread run on any CPU, until the next one comes online. May sleep.
    pub(super) fn unbind(&self) {
        if let Some(task) = &*self.task.lock() {
            // SAFETY: By the invariant of `Joinable` the task is valid.
            unsafe { shim::ktcp_unbind_kthread(task.0.as_ptr()) };
        }
    }

    /// Waits until the thread has exited. Sleeps; must not be called by the thread itself.
    pub(super) fn finish(&self) {
        // `kthread_stop` alone will not do: it interrupts the waits of the thread, and a thread
        // that it stops before its first instruction never runs its closure.
        while !self.ended.wait_timeout(Delta::from_secs(10)) {
            if self.stop.is_open() {
                pr_warn!("{}: waiting for a thread that does not end\n", &*self.name);
            }
        }
        let task = self.task.lock().take();
        match task {
            // The thread may not have returned from `main` yet; the drop waits for that.
            Some(task) => {
                drop(task);
                if let Some(number) = self.number.copy() {
                    registry::unlist(number);
                }
                self.exited.open();
            }
            None => self.exited.wait(),
        }
    }
}

impl Awaited for Thread {
    fn depends_on(&self, waiter: Waiter) -> bool {
        // After the thread has ended, its task may be freed, and another task may have the same
        // address.
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
        if self.flags.load(Relaxed) & DETACHED == 0 {
            pr_warn!(
                "{}: the module goes without having joined its thread: waiting for it\n",
                &*self.name
            );
        }
        self.finish();
    }
}

/// The function of every thread of the library.
///
/// Not generic: its code must stay until the thread has exited, so it must be code of the library.
/// Its address also identifies the threads of the library.
///
/// # Safety
///
/// `data` comes from `Arc::<Thread>::into_raw`, and its reference passes to this call. There is one
/// call for each `Thread`.
unsafe extern "C" fn main(data: *mut c_void) -> c_int {
    // SAFETY: By this function's contract.
    let thread = unsafe { Arc::from_raw(data.cast_const().cast::<Thread>()) };
    thread.task_id.store(Task::current_raw().addr(), Relaxed);
    // SAFETY: The thread runs, so by the type invariant only it accesses `body`.
    let body = unsafe { &mut *thread.body.get() }.take();
    if let Some(mut body) = body {
        body.run(&thread);
        // After this the thread needs no code of the module.
        drop(body);
    }
    thread.end();
    0
}

/// Returns true if the current task is a thread of a server, for which the server waits when it
/// stops. In a task that may sleep.
pub(crate) fn is_of_a_server() -> bool {
    Thread::with_current(|thread| thread.server.is_some()) == Some(true)
}

/// Returns the current task as a [`Waiter`], or `None` for a task of user space, on which no
/// resource of the library depends. In a task that may sleep.
pub(crate) fn current_waiter() -> Option<Waiter> {
    // SAFETY: The function only reads flags of the current task.
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
