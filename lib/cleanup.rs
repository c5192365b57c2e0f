// SPDX-License-Identifier: GPL-2.0

//! The cleanup workqueue: what callers that must not wait have left to be done.

use crate::workqueue::RawQueue;
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

/// The queue, from [`init()`] until all of its items are done in [`exit()`]; null before and after.
///
/// No lock: an item is deferred in any context, by another item of the queue even while that is being
/// drained for the last time.
static QUEUE: Atomic<*mut bindings::workqueue_struct> = Atomic::new(core::ptr::null_mut());

/// Has `item` run soon by a task of the library. Any context.
///
/// Called at most once for each reason that an item has to run: one that is queued already runs after
/// this call, too.
pub(crate) fn defer<T: Deferred>(item: Arc<T>) {
    let queue = QUEUE.load(Acquire);
    debug_assert!(!queue.is_null());
    if !queue.is_null() {
        // SAFETY: The queue is destroyed by `exit` alone, when no module is left that could call the
        // library, and after the last item, which may be the caller.
        let queue = unsafe { Queue::from_raw(queue) };
        // One that is queued already looks at the same state when it runs.
        let _ = queue.enqueue(item);
    }
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

/// Makes the queue. Called once, before any module can call the library. May sleep.
pub(crate) fn init() -> Result {
    QUEUE.store(RawQueue::unbound(c"ktcp_server")?.into_raw(), Release);
    Ok(())
}

/// Runs what is queued, and what that queues, and destroys the queue. Sleeps.
///
/// # Safety
///
/// Called once, after [`init()`], when no module is left that could call the library.
pub(crate) unsafe fn exit() {
    let queue = QUEUE.load(Acquire);
    // SAFETY: It comes from `into_raw` in `init`, and nothing but its own items uses it; dropping it
    // waits for those. Only then is it forgotten: they find it as long as they run.
    drop(unsafe { RawQueue::from_raw(queue) });
    QUEUE.store(core::ptr::null_mut(), Release);
}
