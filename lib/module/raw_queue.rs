// SPDX-License-Identifier: GPL-2.0

//! A workqueue of the kernel with its owner.
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

/// A workqueue of the library, which sees to it that it is dropped in time. That sleeps until every
/// item on it has run.
///
/// # Invariants
///
/// `0` points to a workqueue that this value alone owns.
pub(crate) struct RawQueue(NonNull<bindings::workqueue_struct>);

// SAFETY: Workqueues may be used and destroyed by any task.
unsafe impl Send for RawQueue {}

// SAFETY: All that `&RawQueue` offers is a `&Queue`, which is `Sync`.
unsafe impl Sync for RawQueue {}

impl RawQueue {
    /// Gives the queue up to the caller, who has to call [`from_raw`](Self::from_raw).
    pub(crate) fn into_raw(self) -> *mut bindings::workqueue_struct {
        ManuallyDrop::new(self).0.as_ptr()
    }

    /// The queue of that pointer.
    ///
    /// # Safety
    ///
    /// `raw` comes from [`into_raw`](Self::into_raw), and this is the first call for it.
    pub(crate) unsafe fn from_raw(raw: *mut bindings::workqueue_struct) -> Self {
        // SAFETY: By this function's contract.
        // INVARIANT: By this function's contract it belongs to the caller alone.
        Self(unsafe { NonNull::new_unchecked(raw) })
    }

    /// A queue whose items run on any CPU, each as soon as it is queued, but at most `max_active` at once;
    /// see [`surely_active`]. May sleep.
    pub(crate) fn with_max_active(name: &CStr, max_active: u32) -> Result<Self> {
        // SAFETY: `name` is copied, and C brings any number into its range.
        let queue =
            unsafe { shim::ktcp_alloc_wide_workqueue(name.as_char_ptr(), max_active as c_int) };
        // INVARIANT: The queue is new, so it is ours.
        NonNull::new(queue).map(Self).ok_or(ENOMEM)
    }

    /// Returns the queue as C knows it, which is there as long as `self` is.
    pub(super) fn as_non_null(&self) -> NonNull<bindings::workqueue_struct> {
        self.0
    }

    /// Returns when all items that are queued now have run. Sleeps.
    pub(crate) fn flush(&self) {
        // SAFETY: By the type invariant the queue is valid.
        unsafe { bindings::__flush_workqueue(self.0.as_ptr()) }
    }
}

/// Returns how many items of a queue [with](RawQueue::with_max_active) `max_active` run at once, whichever
/// CPUs they are queued on: with several NUMA nodes each node has a share of these only. May sleep.
pub(crate) fn surely_active(max_active: u32) -> u32 {
    // SAFETY: Any number may be asked for.
    unsafe { shim::ktcp_surely_active(max_active) }
}

impl Deref for RawQueue {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        // SAFETY: The queue is valid as long as `self` is.
        unsafe { Queue::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for RawQueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the queue is ours, and it is not borrowed any more.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) }
    }
}
