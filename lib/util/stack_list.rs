// SPDX-License-Identifier: GPL-2.0

//! A list of values that each live on the stack of a task.
//!
//! It takes no memory, so that putting a value there cannot fail.

use core::{
    cell::Cell,
    marker::PhantomPinned,
    ops::DerefMut,
    ptr, //
};
use kernel::prelude::*;

/// A value and its link, for [`with`] to put into a list.
struct Node<T> {
    value: T,
    next: Cell<*const Node<T>>,
    _pin: PhantomPinned,
}

/// Values that are there while their tasks are in [`with`].
///
/// # Invariants
///
/// `first` is null or points to a node, and so on along `next`; a node is taken out before it goes, under
/// the lock in which the list is.
pub(crate) struct StackList<T> {
    first: *const Node<T>,
}

// SAFETY: By the type invariant any task that has the list may look at the values, which are `Sync`, and
// none of them is moved out of it.
unsafe impl<T: Sync> Send for StackList<T> {}

impl<T> StackList<T> {
    pub(crate) const fn new() -> Self {
        // INVARIANT: It is empty.
        Self { first: ptr::null() }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.nodes().map(|node| &node.value)
    }

    fn nodes(&self) -> impl Iterator<Item = &Node<T>> {
        let mut next = self.first;
        core::iter::from_fn(move || {
            // SAFETY: By the type invariant it is null or points to a node, which is there for as long as
            // the list is borrowed, for that holds the lock.
            let node = unsafe { next.as_ref() }?;
            next = node.next.get();
            Some(node)
        })
    }

    fn remove(&mut self, node: &Node<T>) {
        let before = self
            .nodes()
            .find(|other| ptr::eq(other.next.get(), node))
            .map(|before| before.next.set(node.next.get()));
        if before.is_none() {
            self.first = node.next.get();
        }
    }
}

/// Calls `f` while `value` is in the list that `lock` locks. Under the lock, `check` is asked first, and
/// what it returns as an error is returned.
///
/// May sleep if taking the lock or `f` does.
pub(crate) fn with<T: Sync, G, R>(
    lock: impl Fn() -> G,
    value: T,
    check: impl FnOnce(&StackList<T>, &T) -> Result,
    f: impl FnOnce() -> R,
) -> Result<R>
where
    G: DerefMut<Target = StackList<T>>,
{
    let node = core::pin::pin!(Node {
        value,
        next: Cell::new(ptr::null()),
        _pin: PhantomPinned,
    });
    let node: Pin<&Node<T>> = node.as_ref();
    {
        let mut list = lock();
        check(&list, &node.value)?;
        node.next.set(list.first);
        // INVARIANT: It points to a node. That is taken out below: nothing unwinds in the kernel.
        list.first = &*node;
    }
    let result = f();
    lock().remove(&node);
    Ok(result)
}
