// SPDX-License-Identifier: GPL-2.0

//! A workqueue with a single owner.
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::shim;
use core::{
    mem::ManuallyDrop,
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    prelude::*,
    workqueue::Queue, //
};

/// A workqueue of the library. Dropping it waits until every item on it has run; its owner has to
/// drop it before what the items use is freed.
///
/// # Invariants
///
/// `0` points to a workqueue that this value alone owns.
pub(crate) struct RawQueue(NonNull<bindings::workqueue_struct>);

// SAFETY: Workqueues may be used and destroyed by any task.
unsafe impl Send for RawQueue {}

// SAFETY: `&RawQueue` only gives access to `&Queue`, which is `Sync`, and to a flush, which any
// task may call.
unsafe impl Sync for RawQueue {}

impl RawQueue {
    /// Passes the queue to the caller, which has to call [`from_raw`](Self::from_raw).
    pub(crate) fn into_raw(self) -> *mut bindings::workqueue_struct {
        ManuallyDrop::new(self).0.as_ptr()
    }

    /// Takes back a queue that [`into_raw`](Self::into_raw) has passed on.
    ///
    /// # Safety
    ///
    /// `raw` comes from [`into_raw`](Self::into_raw), and this is the first call for it.
    pub(crate) unsafe fn from_raw(raw: *mut bindings::workqueue_struct) -> Self {
        // SAFETY: By this function's contract.
        // INVARIANT: By this function's contract `raw` is owned by the caller alone.
        Self(unsafe { NonNull::new_unchecked(raw) })
    }

    /// Creates a queue whose items run on any CPU as soon as they are queued, but at most
    /// `max_active` at once; see [`surely_active`]. May sleep.
    pub(crate) fn with_max_active(name: &CStr, max_active: u32) -> Result<Self> {
        // SAFETY: `name` is copied, and the function clamps `max_active` to its range.
        let queue =
            unsafe { shim::ktcp_alloc_wide_workqueue(name.as_char_ptr(), max_active as c_int) };
        // INVARIANT: The queue is new, so this value alone owns it.
        NonNull::new(queue).map(Self).ok_or(ENOMEM)
    }

    /// Returns the pointer to the queue, which is valid as long as `self`.
    pub(super) fn as_non_null(&self) -> NonNull<bindings::workqueue_struct> {
        self.0
    }

    /// Waits until all items that are queued now have run. Sleeps.
    pub(crate) fn flush(&self) {
        // SAFETY: By the type invariant the queue is valid.
        unsafe { bindings::__flush_workqueue(self.0.as_ptr()) }
    }
}

/// Returns how many items of a queue [with](RawQueue::with_max_active) `max_active` can run at
/// once, on whichever CPUs they are queued. With several NUMA nodes each node has only a share of
/// `max_active`. May sleep.
pub(crate) fn surely_active(max_active: u32) -> u32 {
    // SAFETY: The function accepts any number.
    unsafe { shim::ktcp_surely_active(max_active) }
}

impl Deref for RawQueue {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        // SAFETY: By the type invariant the queue is valid as long as `self`.
        unsafe { Queue::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for RawQueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this value alone owns the queue, and no borrow of it is
        // left.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) }
    }
}
