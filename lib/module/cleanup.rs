// SPDX-License-Identifier: GPL-2.0

//! The cleanup workqueue: work that callers which must not wait have left to be done.

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

/// A workqueue of the library, from [`init()`] until all of its items are done in [`exit()`]; null before
/// and after.
///
/// No lock: an item is deferred in any context, by another item of the queue even while that is being
/// drained for the last time.
struct LibraryQueue(Atomic<*mut bindings::workqueue_struct>);

/// For what module ends wait for: items that wait for other items here are bounded by the number of
/// workers, as on any workqueue.
static CLEANUP: LibraryQueue = LibraryQueue::none();

/// For the ends of modules, which wait for items of the other queue.
static MODULE_ENDS: LibraryQueue = LibraryQueue::none();

impl LibraryQueue {
    const fn none() -> Self {
        Self(Atomic::new(core::ptr::null_mut()))
    }

    fn enqueue<T: Deferred>(&self, item: Arc<T>) {
        let queue = self.0.load(Acquire);
        debug_assert!(!queue.is_null());
        if !queue.is_null() {
            // SAFETY: The queue is destroyed by `exit` alone, when no module is left that could call the
            // library, and after the last item, which may be the caller.
            let queue = unsafe { Queue::from_raw(queue) };
            // One that is queued already looks at the same state when it runs.
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
            // SAFETY: It comes from `into_raw` in `init`, and nothing but its own items uses it; dropping
            // it waits for those. Only then is it forgotten: they find it as long as they run.
            drop(unsafe { RawQueue::from_raw(queue) });
            self.0.store(core::ptr::null_mut(), Release);
        }
    }
}

/// Has `item` run soon by a task of the library. Any context.
///
/// An item that is queued already runs once after this call, and looks at the state that it has then.
pub(crate) fn defer<T: Deferred>(item: Arc<T>) {
    CLEANUP.enqueue(item);
}

/// Like [`defer`], for an item that waits for what is deferred there.
pub(crate) fn defer_module_end<T: Deferred>(item: Arc<T>) {
    MODULE_ENDS.enqueue(item);
}

/// A value that the cleanup workqueue drops.
pub(crate) trait Deferred:
    WorkItem<0, Pointer = Arc<Self>> + HasWork<Self, 0> + Send + Sync + Sized + 'static
{
}

impl<T> Deferred for T where T: WorkItem<0, Pointer = Arc<T>> + HasWork<T, 0> + Send + Sync + 'static
{}

/// A reference that may be dropped in any context, whatever dropping the value takes: the last one is
/// given to the cleanup workqueue, where the work item of the value drops it.
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
        // SAFETY: It is not used after this, for `self` goes.
        let value = unsafe { ManuallyDrop::take(&mut self.0) };
        if let Some(last) = Arc::into_unique_or_drop(value) {
            defer(Arc::from(last));
        }
    }
}

/// Makes the queues. Called once, before any module can call the library. May sleep.
pub(crate) fn init() -> Result {
    CLEANUP.init(c"ktcp_server")?;
    MODULE_ENDS.init(c"ktcp_module_ends").inspect_err(|_| {
        // SAFETY: The caller has not made the library known yet.
        unsafe { exit() };
    })
}

/// Runs what is queued, and what that queues, and destroys the queues. Sleeps.
///
/// # Safety
///
/// Called when no module is left that could call the library.
pub(crate) unsafe fn exit() {
    // SAFETY: By this function's contract.
    unsafe {
        MODULE_ENDS.exit();
        CLEANUP.exit();
    }
}
