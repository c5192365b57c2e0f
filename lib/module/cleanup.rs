// SPDX-License-Identifier: GPL-2.0

//! The cleanup workqueue, for work deferred by callers that must not wait.

use crate::{
    module::raw_queue::RawQueue,
    shim::layout::WQ_MAX_ACTIVE, //
};
use core::{
    mem::ManuallyDrop,
    ops::Deref, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::{
        atomic::{
            Acquire,
            Atomic,
            Release, //
        },
        Arc, //
    },
    workqueue::{
        HasWork,
        Queue,
        WorkItem, //
    }, //
};

/// A workqueue of the library. Null before [`init()`], and after [`exit()`] has drained it.
///
/// Not locked, because items are deferred in any context, even by other items of the queue during
/// its last drain.
struct LibraryQueue(Atomic<*mut bindings::workqueue_struct>);

/// The queue for items on which the end of a module waits. The number of its items that wait for
/// other items here must stay below the number that can run at once, as on any workqueue.
static CLEANUP: LibraryQueue = LibraryQueue::none();

/// The queue for the ends of modules, which wait for items of `CLEANUP`.
static MODULE_ENDS: LibraryQueue = LibraryQueue::none();

impl LibraryQueue {
    const fn none() -> Self {
        Self(Atomic::new(core::ptr::null_mut()))
    }

    fn enqueue<T: Deferred>(&self, item: Arc<T>) {
        let queue = self.0.load(Acquire);
        debug_assert!(!queue.is_null());
        if !queue.is_null() {
            // SAFETY: `exit` alone destroys the queue, when no module is left that could call the
            // library, and after the last item has run. The caller may be that item.
            let queue = unsafe { Queue::from_raw(queue) };
            // An item that is already queued sees the same state when it runs.
            let _ = queue.enqueue(item);
        }
    }

    fn init(&self, name: &CStr) -> Result {
        let queue = RawQueue::with_max_active(name, WQ_MAX_ACTIVE)?;
        self.0.store(queue.into_raw(), Release);
        Ok(())
    }

    /// # Safety
    ///
    /// As for [`exit()`].
    unsafe fn exit(&self) {
        let queue = self.0.load(Acquire);
        if !queue.is_null() {
            // SAFETY: `queue` comes from `into_raw` in `init`, and only its own items still use it.
            // The drop waits for them. The pointer is cleared after that, because items that run
            // may enqueue others.
            drop(unsafe { RawQueue::from_raw(queue) });
            self.0.store(core::ptr::null_mut(), Release);
        }
    }
}

/// Queues `item` on the cleanup workqueue. Any context.
///
/// If the item is already queued, it runs once after this call, and sees the state that it has by
/// then.
pub(crate) fn defer<T: Deferred>(item: Arc<T>) {
    CLEANUP.enqueue(item);
}

/// Like [`defer`], for an item that itself waits for deferred items.
pub(crate) fn defer_module_end<T: Deferred>(item: Arc<T>) {
    MODULE_ENDS.enqueue(item);
}

/// A value with a work item for the cleanup workqueue.
pub(crate) trait Deferred:
    WorkItem<0, Pointer = Arc<Self>> + HasWork<Self, 0> + Send + Sync + Sized + 'static
{
}

impl<T> Deferred for T where T: WorkItem<0, Pointer = Arc<T>> + HasWork<T, 0> + Send + Sync + 'static
{}

/// A reference that may be dropped in any context.
///
/// Dropping the value may need process context. So the last reference passes to the cleanup
/// workqueue, where the work item of the value drops it.
pub(crate) struct DeferredArc<T: Deferred>(ManuallyDrop<Arc<T>>);

impl<T: Deferred> DeferredArc<T> {
    pub(crate) fn new(value: &Arc<T>) -> Self {
        Self(ManuallyDrop::new(value.clone()))
    }
}

impl<T: Deferred> Clone for DeferredArc<T> {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl<T: Deferred> Deref for DeferredArc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Deferred> Drop for DeferredArc<T> {
    fn drop(&mut self) {
        // SAFETY: This drop is the end of `self`, so `self.0` is not used again.
        let value = unsafe { ManuallyDrop::take(&mut self.0) };
        if let Some(last) = Arc::into_unique_or_drop(value) {
            defer(Arc::from(last));
        }
    }
}

/// Creates the queues. Called once, before any module can call the library. May sleep.
pub(crate) fn init() -> Result {
    CLEANUP.init(c"ktcp_server")?;
    MODULE_ENDS.init(c"ktcp_module_ends").inspect_err(|_| {
        // SAFETY: No module can call the library before its initialisation is complete.
        unsafe { exit() };
    })
}

/// Runs all items that are queued, including those that they queue, and destroys the queues.
/// Sleeps.
///
/// # Safety
///
/// No module is left that could call the library.
pub(crate) unsafe fn exit() {
    // SAFETY: By this function's contract.
    unsafe {
        MODULE_ENDS.exit();
        CLEANUP.exit();
    }
}
