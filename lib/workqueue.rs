// SPDX-License-Identifier: GPL-2.0

//! Workqueues of one's own.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::shim;
use core::{
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    prelude::*,
    workqueue::Queue, //
};

/// A workqueue that is drained and destroyed when it is dropped, which sleeps until every item on
/// it has run.
///
/// # Invariants
///
/// `0` points to a workqueue that this value alone owns.
pub(crate) struct OwnedQueue(NonNull<bindings::workqueue_struct>);

// SAFETY: Workqueues may be used and destroyed by any task.
unsafe impl Send for OwnedQueue {}

// SAFETY: All that `&OwnedQueue` offers is a `&Queue`, which is `Sync`.
unsafe impl Sync for OwnedQueue {}

impl OwnedQueue {
    /// A queue whose items run on any CPU, each as soon as it is queued. May sleep.
    pub(crate) fn unbound(name: &CStr) -> Result<Self> {
        // SAFETY: `name` is copied.
        let queue = unsafe { shim::ktcp_alloc_unbound_workqueue(name.as_char_ptr()) };
        // INVARIANT: The queue is new, so it is ours.
        NonNull::new(queue).map(Self).ok_or(ENOMEM)
    }

    /// Returns when all items that are queued now have run. Sleeps.
    pub(crate) fn flush(&self) {
        // SAFETY: By the type invariant the queue is valid.
        unsafe { bindings::__flush_workqueue(self.0.as_ptr()) }
    }
}

impl Deref for OwnedQueue {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        // SAFETY: The queue is valid as long as `self` is.
        unsafe { Queue::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for OwnedQueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the queue is ours, and nobody borrows it any more.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) }
    }
}
