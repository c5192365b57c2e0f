// SPDX-License-Identifier: GPL-2.0

//! A queue of connections that are due for a visit.

use crate::connection::Connection;
use core::{
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

/// Connections that are due, from any number of tasks and interrupts to one task that takes them
/// all at once.
///
/// # Invariants
///
/// `head` is null or comes from `Arc::into_raw`, and so on along the `next` of each connection. The
/// queue owns the reference that each stands for, and `next` with it. No connection is in more than
/// one queue.
pub(crate) struct ReadyQueue {
    head: Atomic<*const Connection>,
}

impl ReadyQueue {
    pub(crate) const fn new() -> Self {
        Self {
            head: Atomic::new(ptr::null()),
        }
    }

    /// Any context.
    pub(crate) fn is_empty(&self) -> bool {
        self.head.load(Relaxed).is_null()
    }

    /// Appends a connection that is in no queue; says whether it is the only one. Any context.
    pub(crate) fn push(&self, connection: Arc<Connection>) -> bool {
        let raw = Arc::into_raw(connection);
        let mut head = self.head.load(Relaxed);
        loop {
            // SAFETY: `raw` is a reference that we own until the exchange below succeeds, and with it
            // `next`: the connection is in no queue.
            unsafe { *(*raw).next.get() = head };
            // INVARIANT: With this the queue owns `raw`, whose `next` is what the head was.
            match self.head.cmpxchg(head, raw, Full) {
                Ok(_) => return head.is_null(),
                Err(changed) => head = changed,
            }
        }
    }

    /// Takes out all connections, the first first.
    pub(crate) fn take_all(&self) -> Batch {
        let mut newest = self.head.xchg(ptr::null(), Full);
        let mut oldest = ptr::null();
        while !newest.is_null() {
            // SAFETY: By the type invariant these are valid, and now they are ours.
            let next = unsafe { mem::replace(&mut *(*newest).next.get(), oldest) };
            oldest = newest;
            newest = next;
        }
        // INVARIANT: The whole queue, in reverse.
        Batch(oldest)
    }
}

impl Drop for ReadyQueue {
    fn drop(&mut self) {
        drop(self.take_all());
    }
}

/// Connections that were taken out of a queue.
///
/// # Invariants
///
/// As for a [`ReadyQueue`], and they are in no queue.
pub(crate) struct Batch(*const Connection);

// SAFETY: It is a list of `Arc<Connection>`, which is `Send`.
unsafe impl Send for Batch {}

impl Default for Batch {
    fn default() -> Self {
        // INVARIANT: There is none.
        Self(ptr::null())
    }
}

impl Iterator for Batch {
    type Item = Arc<Connection>;

    fn next(&mut self) -> Option<Arc<Connection>> {
        if self.0.is_null() {
            return None;
        }
        // SAFETY: By the type invariant this comes from `Arc::into_raw`, and the reference is ours.
        let connection = unsafe { Arc::from_raw(self.0) };
        // SAFETY: It is in no queue, but in this list, which is ours.
        self.0 = unsafe { *connection.next.get() };
        Some(connection)
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        for connection in self.by_ref() {
            drop(connection);
        }
    }
}
