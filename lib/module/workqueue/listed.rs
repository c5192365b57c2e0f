// SPDX-License-Identifier: GPL-2.0

//! A queue that the registry knows, whatever its items are.

use crate::{
    module::{
        kthread,
        raw_queue::{
            surely_active,
            RawQueue, //
        },
        registry::{
            self,
            ModuleResource, //
            Stage,
        }, //
    },
    shim::layout::WQ_MAX_ACTIVE,
    sync::{
        deadlock::{
            self,
            Awaited,
            Waiter, //
        },
        lock_class::{
            new_mutex,
            new_spinlock,
            new_work, //
        }, //
    }, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    impl_has_work,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        rcu,
        Arc,
        Mutex,
        SetOnce,
        SpinLock, //
    },
    task::Task,
    workqueue::{
        RawWorkItem,
        Work,
        WorkItem, //
    }, //
};

const WORK_CPU_UNBOUND: c_int = bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int;

/// See [`OwnedQueue::MAX_UNFINISHED`](super::OwnedQueue::MAX_UNFINISHED).
pub(super) const MAX_UNFINISHED: u32 = 1024;

/// The place of a closure among those that were given to a queue and have not returned yet.
pub(super) struct Unfinished(Arc<ListedQueue>);

impl Unfinished {
    /// Fails with `EAGAIN` when there are as many as there may be.
    pub(super) fn new(queue: &Arc<ListedQueue>) -> Result<Self> {
        // INVARIANT: What is added here, `drop` takes away.
        let place = Self(queue.clone());
        if queue.unfinished.fetch_add(1, Relaxed) >= queue.most {
            return Err(EAGAIN);
        }
        Ok(place)
    }

    /// Calls `function` as an item of the queue.
    pub(super) fn run(self, function: impl FnOnce()) {
        let task = Task::current_raw().addr();
        // There is room: no more run than are unfinished. A panic ends the task without unwinding, so that
        // what is kept of it is a number and nothing on its stack.
        let _ = self.0.running.lock().push_within_capacity(task);
        function();
        let mut running = self.0.running.lock();
        if let Some(index) = running.iter().position(|&other| other == task) {
            let last = running.len() - 1;
            running.swap(index, last);
            running.truncate(last);
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.unfinished.fetch_sub(1, Relaxed);
    }
}

/// A queue that the registry knows. No code of any other module is needed for it, but for the items.
///
/// # Invariants
///
/// `raw` is the queue in `queue`. That is destroyed only after `closed` was set and a grace period of
/// RCU has passed: whatever has seen, in a read-side critical section, that it is not closed finds
/// the queue there until the end of that section.
#[pin_data]
pub(super) struct ListedQueue {
    name: CString,
    /// Whose code the items are; only compared.
    module: *mut bindings::module,
    /// Its number in the registry.
    number: SetOnce<usize>,
    /// Takes no more items.
    closed: Atomic<bool>,
    /// Number of [`Unfinished`] that there are, and that there may be.
    unfinished: Atomic<u32>,
    most: u32,
    /// The tasks that run closures of it, with room for all that there may be.
    #[pin]
    running: SpinLock<KVec<usize>>,
    raw: NonNull<bindings::workqueue_struct>,
    /// Taken when it is destroyed. Locked as long as a task waits for the items.
    #[pin]
    queue: Mutex<Option<RawQueue>>,
    #[pin]
    work: Work<ListedQueue>,
}

// SAFETY: As for `RawQueue`; the module is only compared, and the rest is `Send` by itself.
unsafe impl Send for ListedQueue {}

// SAFETY: As above.
unsafe impl Sync for ListedQueue {}

impl_has_work! {
    impl HasWork<Self> for ListedQueue { self.work }
}

impl WorkItem for ListedQueue {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.destroy();
    }
}

impl ListedQueue {
    /// A queue of `module`, in the registry. May sleep.
    ///
    /// Not inlined: what runs as its work item, and what the registry calls, is to be code of the
    /// library, for it may outlive the module.
    #[inline(never)]
    pub(super) fn new(module: &'static ThisModule, name: &CStr) -> Result<Arc<Self>> {
        let queue = RawQueue::with_max_active(name, WQ_MAX_ACTIVE)?;
        let name = CString::try_from(name)?;
        let most = MAX_UNFINISHED.min(surely_active(WQ_MAX_ACTIVE));
        let running = KVec::with_capacity(most as usize, GFP_KERNEL)?;
        let listed = Arc::pin_init(
            pin_init!(Self {
                name,
                module: module.as_ptr(),
                number: SetOnce::new(),
                closed: Atomic::new(false),
                unfinished: Atomic::new(0),
                most,
                running <- new_spinlock!(running),
                raw: queue.as_non_null(),
                queue <- new_mutex!(Some(queue)),
                work <- new_work!("ktcp_server::OwnedQueue"),
            }),
            GFP_KERNEL,
        )?;
        registry::list(module, |number| {
            listed.number.populate(number);
            listed.clone()
        })?;
        Ok(listed)
    }

    /// Fails with `EINVAL` if `code`, a function, would be freed before the queue is drained. Any
    /// context.
    pub(super) fn check_owner(&self, code: *const ()) -> Result {
        let _reading = rcu::read_lock();
        // A closed queue takes no item anyway, and its module may be gone.
        if self.closed.load(Relaxed) {
            return Ok(());
        }
        // SAFETY: The module of a queue that is not closed is there until the end of the critical
        // section: it goes after the queue, which waits for a grace period.
        if unsafe { registry::is_code_of(self.module, code) } {
            return Ok(());
        }
        pr_err!(
            "{}: was to run an item for a module whose code it is not\n",
            &*self.name
        );
        Err(EINVAL)
    }

    /// Queues an item, and gives it back when the queue takes no more. Any context.
    pub(super) fn enqueue<W, const ID: u64>(&self, item: W) -> Result<W::EnqueueOutput, W>
    where
        W: RawWorkItem<ID> + Send + 'static,
    {
        let _reading = rcu::read_lock();
        if self.closed.load(Relaxed) {
            return Err(item);
        }
        let raw = self.raw.as_ptr();
        let name: &CStr = &self.name;
        let module = self.module;
        // SAFETY: `item` is `Send` and `'static`, as `__enqueue` wants it, and false is returned only if
        // the item is in a queue already. An item that is kept out is never run, so that it may be
        // forgotten. The queue is not closed, so that by the type invariant it is there until the end of
        // the critical section, and with it the module.
        Ok(unsafe {
            item.__enqueue(move |work| {
                // Of a generic item, the crate that has made it has chosen the instance that runs.
                let runs = (*work)
                    .func
                    .map_or(core::ptr::null(), |func| func as *const ());
                if !registry::is_code_of(module, runs) {
                    pr_err!("{name}: was to run an item for a module whose code it is not\n");
                    return true;
                }
                bindings::queue_work_on(WORK_CPU_UNBOUND, raw, work)
            })
        })
    }

    /// Calls `block`, which waits for the items; fails with `EDEADLK` when one of them waits for the
    /// caller.
    pub(super) fn wait(&self, block: impl FnOnce()) -> Result {
        deadlock::wait_for(kthread::current_waiter(), self, block)
    }

    /// Waits for the items that are queued now. Sleeps.
    pub(super) fn flush(&self) {
        if let Some(queue) = &*self.queue.lock() {
            queue.flush();
        }
    }

    /// Waits for the items and destroys the queue, unless that was done. Sleeps.
    pub(super) fn destroy(&self) {
        self.closed.xchg(true, Full);
        let mut queue = self.queue.lock();
        if let Some(raw) = queue.take() {
            // Whatever has seen the queue open has queued its item after this.
            // SAFETY: The caller may sleep.
            unsafe { bindings::synchronize_rcu() };
            // INVARIANT: It is closed, and a grace period has passed.
            drop(raw);
            if let Some(number) = self.number.copy() {
                registry::unlist(number);
            }
        }
    }
}

impl Awaited for ListedQueue {
    fn depends_on(&self, waiter: Waiter) -> bool {
        waiter.is_worker && self.running.lock().iter().any(|&task| task == waiter.task)
    }
}

impl ModuleResource for ListedQueue {
    fn stage(&self) -> Stage {
        Stage::Queues
    }

    fn request_stop(&self) {
        self.closed.xchg(true, Full);
    }

    fn shutdown(&self) {
        pr_warn!(
            "{}: the module goes without having dropped its queue: draining it\n",
            &*self.name
        );
        self.destroy();
    }
}
