// SPDX-License-Identifier: GPL-2.0

//! The part of a module's workqueue that does not depend on the types of its items.

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

/// A count of one closure that was given to a queue and has not returned yet.
pub(super) struct Unfinished(Arc<ListedQueue>);

impl Unfinished {
    /// Counts one more closure. Fails with `EAGAIN` at the limit of the queue.
    pub(super) fn new(queue: &Arc<ListedQueue>) -> Result<Self> {
        // `drop` subtracts what is added here, also on failure.
        let place = Self(queue.clone());
        if queue.unfinished.fetch_add(1, Relaxed) >= queue.most {
            return Err(EAGAIN);
        }
        Ok(place)
    }

    /// Calls `function` as an item of the queue.
    pub(super) fn run(self, function: impl FnOnce()) {
        let task = Task::current_raw().addr();
        // The vector has room, because no more closures run than are counted. It holds addresses of
        // tasks rather than nodes on their stacks because a panic ends a task without unwinding.
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

/// A queue in the registry. Apart from its items, it needs no code of any other module.
///
/// # Invariants
///
/// `raw` is the queue in `queue`. That is destroyed only after `closed` was set and an RCU grace
/// period has passed: a read-side critical section that has seen `closed` unset finds the queue
/// valid until its end.
#[pin_data]
pub(super) struct ListedQueue {
    name: CString,
    /// The module that contains the code of the items; only compared.
    module: *mut bindings::module,
    /// Number in the registry.
    number: SetOnce<usize>,
    /// Set when the queue takes no more items.
    closed: Atomic<bool>,
    /// Number of [`Unfinished`] values.
    unfinished: Atomic<u32>,
    most: u32,
    /// Addresses of the tasks that run closures of the queue, with capacity for `most`.
    #[pin]
    running: SpinLock<KVec<usize>>,
    raw: NonNull<bindings::workqueue_struct>,
    /// Taken to be destroyed. Locked while a task waits for the items.
    #[pin]
    queue: Mutex<Option<RawQueue>>,
    #[pin]
    work: Work<ListedQueue>,
}

// SAFETY: As for `RawQueue`; `module` is only compared, and the other fields are `Send`.
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
    /// Creates a queue of `module` in the registry. May sleep.
    ///
    /// Not inlined: the function of its work item, and those that the registry calls, may outlive
    /// the module, so they must be code of the library.
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

    /// Fails with `EINVAL` if the function `code` could be freed before the queue is drained. Any
    /// context.
    pub(super) fn check_owner(&self, code: *const ()) -> Result {
        let _reading = rcu::read_lock();
        // A closed queue takes no items, and its module may be freed.
        if self.closed.load(Relaxed) {
            return Ok(());
        }
        // SAFETY: The queue is not closed, so its module is valid until the end of the critical
        // section: the module is freed after the queue is destroyed, which waits for a grace
        // period.
        if unsafe { registry::is_code_of(self.module, code) } {
            return Ok(());
        }
        pr_err!(
            "{}: was to run an item for a module whose code it is not\n",
            &*self.name
        );
        Err(EINVAL)
    }

    /// Queues an item, or returns it if the queue takes no more. Any context.
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
        // SAFETY: `item` is `Send` and `'static`, as `__enqueue` requires. False is returned only
        // if the item is in a queue already. An item that is rejected here is never run, so it may
        // be leaked. The queue is not closed, so by the type invariant it is valid until the end of
        // the critical section, and so is the module.
        Ok(unsafe {
            item.__enqueue(move |work| {
                // The instance of a generic item's function belongs to the crate that has created
                // the item.
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

    /// Calls `block`, which waits for the items. Fails with `EDEADLK` if one of them waits for the
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

    /// Waits for the items and destroys the queue, unless that is already done. Sleeps.
    pub(super) fn destroy(&self) {
        self.closed.xchg(true, Full);
        let mut queue = self.queue.lock();
        if let Some(raw) = queue.take() {
            // A task that has seen the queue open has queued its item when this returns.
            // SAFETY: The caller may sleep.
            unsafe { bindings::synchronize_rcu() };
            // INVARIANT: `closed` is set, and a grace period has passed.
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
