// SPDX-License-Identifier: GPL-2.0

//! A run queue: items that are due, from many producers to one executor.

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
/// The [`RunQueue`] or [`Batch`] that holds an item owns the content of its link; before the item
/// is pushed, the caller of [`RunQueue::push`] does.
pub(crate) struct Link<T>(UnsafeCell<*const T>);

// SAFETY: The pointer is bound to no task, and a `Link` alone never dereferences it.
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
/// - An item of the type is pushed only while it is in no [`RunQueue`] and no [`Batch`].
pub(crate) unsafe trait Queued: Send + Sync + Sized {
    /// Returns the field that the queue uses.
    fn link(&self) -> &Link<Self>;
}

/// An intrusive lock-free queue of items that are due. Any number of tasks and interrupts push; one
/// task takes all items at once.
///
/// # Invariants
///
/// `head` is null or comes from `Arc::into_raw`, and so does the content of each item's [`Link`].
/// The queue owns the reference behind each of these pointers, and the content of each link.
pub(crate) struct RunQueue<T: Queued> {
    head: Atomic<*const T>,
}

impl<T: Queued> RunQueue<T> {
    pub(crate) fn new() -> Self {
        // INVARIANT: The queue is empty.
        Self {
            head: Atomic::new(ptr::null()),
        }
    }

    /// Returns true if the queue is empty. Imposes no memory ordering. Any context.
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Relaxed).is_null()
    }

    /// Appends an item that is in no queue. Returns true if the queue was empty, so that the caller
    /// has to wake an executor that sleeps. Any context.
    pub(crate) fn push(&self, item: Arc<T>) -> bool {
        let raw = Arc::into_raw(item);
        let mut head = self.head.load(Relaxed);
        loop {
            // SAFETY: We own the reference `raw` until the exchange below succeeds. By the contract
            // of `Queued` the item is in no queue, so we own the content of its link.
            unsafe { *(*raw).link().0.get() = head };
            // INVARIANT: If this succeeds, the queue owns `raw`, whose link holds the previous
            // head.
            match self.head.cmpxchg(head, raw, Full) {
                Ok(_) => return head.is_null(),
                Err(changed) => head = changed,
            }
        }
    }

    /// Takes all items, in the order in which they were pushed.
    pub(crate) fn take_all(&self) -> Batch<T> {
        let mut newest = self.head.xchg(ptr::null(), Full);
        let mut oldest = ptr::null();
        while !newest.is_null() {
            // SAFETY: By the type invariant the pointers are valid; the exchange above has made us
            // their owner.
            let next = unsafe { mem::replace(&mut *(*newest).link().0.get(), oldest) };
            oldest = newest;
            newest = next;
        }
        // INVARIANT: The list holds all items of the queue, reversed, and they are in no queue.
        Batch(oldest)
    }
}

impl<T: Queued> Drop for RunQueue<T> {
    fn drop(&mut self) {
        drop(self.take_all());
    }
}

/// The items taken from a queue.
///
/// # Invariants
///
/// As for a [`RunQueue`]; and the items are in no queue.
pub(crate) struct Batch<T: Queued>(*const T);

// SAFETY: A batch is a list of `Arc<T>`, which is `Send` because `T` is `Send` and `Sync`.
unsafe impl<T: Queued> Send for Batch<T> {}

impl<T: Queued> Default for Batch<T> {
    fn default() -> Self {
        // INVARIANT: The list is empty.
        Self(ptr::null())
    }
}

impl<T: Queued> Iterator for Batch<T> {
    type Item = Arc<T>;

    fn next(&mut self) -> Option<Arc<T>> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: By the type invariant the pointer comes from `Arc::into_raw`, and we own the
        // reference.
        let item = unsafe { Arc::from_raw(self.0) };
        // SAFETY: The item is in this list only, so we own the content of its link.
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
