// SPDX-License-Identifier: GPL-2.0

//! A run queue: what is due, from many producers to one executor.

use core::{
    cell::UnsafeCell,
    mem,
    ptr, //
};
use kernel::sync::{
    atomic::{
        Atomic,
        Full,
        Relaxed, //
    },
    Arc, //
};

/// The field of an item by which a [`RunQueue`] links it to the next one.
///
/// # Invariants
///
/// The content belongs to the [`RunQueue`] or [`Batch`] in which the item is; before the item is
/// pushed, to the caller of [`RunQueue::push`].
pub(crate) struct Link<T>(UnsafeCell<*const T>);

// SAFETY: The pointer belongs to no task, and what it points to is not used by way of a `Link` alone.
unsafe impl<T> Send for Link<T> {}

// SAFETY: By the type invariant the content has one user at a time.
unsafe impl<T> Sync for Link<T> {}

impl<T> Link<T> {
    pub(crate) fn new() -> Self {
        // INVARIANT: The item is in no queue yet.
        Self(UnsafeCell::new(ptr::null()))
    }
}

/// A value that can be pushed to a [`RunQueue`].
///
/// # Safety
///
/// - [`link`](Self::link) returns the same field of `self` each time, and of no other item.
/// - The type is such that an item is pushed only while it is in no [`RunQueue`] and no [`Batch`].
pub(crate) unsafe trait Queued: Send + Sync + Sized {
    /// Returns the field that the queue uses.
    fn link(&self) -> &Link<Self>;
}

/// A lock-free queue of items that are due, intrusive, from any number of tasks and interrupts to
/// one task that takes them all at once.
///
/// # Invariants
///
/// `head` is null or comes from `Arc::into_raw`, and so on along the [`Link`] of each item. The
/// queue owns the reference that each stands for, and the content of the link with it.
pub(crate) struct RunQueue<T: Queued> {
    head: Atomic<*const T>,
}

impl<T: Queued> RunQueue<T> {
    pub(crate) fn new() -> Self {
        // INVARIANT: There is no item.
        Self {
            head: Atomic::new(ptr::null()),
        }
    }

    /// Returns true if there is no item. Orders nothing. Any context.
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Relaxed).is_null()
    }

    /// Appends an item that is in no queue. Returns true if it is the only one, so that the executor
    /// may have to be woken. Any context.
    pub(crate) fn push(&self, item: Arc<T>) -> bool {
        let raw = Arc::into_raw(item);
        let mut head = self.head.load(Relaxed);
        loop {
            // SAFETY: `raw` is a reference that we own until the exchange below succeeds. The item is
            // in no queue, by the contract of `Queued`, so that the content of its link is ours.
            unsafe { *(*raw).link().0.get() = head };
            // INVARIANT: With this the queue owns `raw`, whose link is what the head was.
            match self.head.cmpxchg(head, raw, Full) {
                Ok(_) => return head.is_null(),
                Err(changed) => head = changed,
            }
        }
    }

    /// Takes out all items, the first first.
    pub(crate) fn take_all(&self) -> Batch<T> {
        let mut newest = self.head.xchg(ptr::null(), Full);
        let mut oldest = ptr::null();
        while !newest.is_null() {
            // SAFETY: By the type invariant these are valid, and now they are ours.
            let next = unsafe { mem::replace(&mut *(*newest).link().0.get(), oldest) };
            oldest = newest;
            newest = next;
        }
        // INVARIANT: The whole queue, in reverse.
        Batch(oldest)
    }
}

impl<T: Queued> Drop for RunQueue<T> {
    fn drop(&mut self) {
        drop(self.take_all());
    }
}

/// Items that were taken out of a queue.
///
/// # Invariants
///
/// As for a [`RunQueue`], and they are in no queue.
pub(crate) struct Batch<T: Queued>(*const T);

// SAFETY: It is a list of `Arc<T>`, which is `Send`, for `T` is `Send` and `Sync`.
unsafe impl<T: Queued> Send for Batch<T> {}

impl<T: Queued> Default for Batch<T> {
    fn default() -> Self {
        // INVARIANT: There is none.
        Self(ptr::null())
    }
}

impl<T: Queued> Iterator for Batch<T> {
    type Item = Arc<T>;

    fn next(&mut self) -> Option<Arc<T>> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: By the type invariant this comes from `Arc::into_raw`, and the reference is ours.
        let item = unsafe { Arc::from_raw(self.0) };
        // SAFETY: It is in no queue, but in this list, which is ours.
        self.0 = unsafe { *item.link().0.get() };
        Some(item)
    }
}

impl<T: Queued> Drop for Batch<T> {
    fn drop(&mut self) {
        for item in self.by_ref() {
            drop(item);
        }
    }
}
