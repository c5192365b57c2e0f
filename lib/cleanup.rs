// SPDX-License-Identifier: GPL-2.0

//! The cleanup workqueue: what callers that must not wait have left to be done.

use crate::workqueue::RawQueue;
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
pub(crate) fn defer<T>(item: Arc<T>)
where
    T: WorkItem<0, Pointer = Arc<T>> + HasWork<T, 0> + Send + Sync + 'static,
{
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
