// SPDX-License-Identifier: GPL-2.0

//! A list of values that live on the stacks of their tasks.
//!
//! It allocates nothing, so adding a value cannot fail for lack of memory.

use core::{
    cell::Cell,
    marker::PhantomPinned,
    ops::DerefMut,
    ptr, //
};
use kernel::prelude::*;

/// A value and its link, which [`with`] puts into a list.
struct Node<T> {
    value: T,
    next: Cell<*const Node<T>>,
    _pin: PhantomPinned,
}

/// The values of the tasks that are inside [`with`].
///
/// # Invariants
///
/// `first` is null or points to a valid node, and so does the `next` of each node. A node is
/// removed under the lock that guards the list, before its stack frame ends.
pub(crate) struct StackList<T> {
    first: *const Node<T>,
}

// SAFETY: By the type invariant any task that holds the list may read the values, which are `Sync`.
// No value is moved out of the list.
unsafe impl<T: Sync> Send for StackList<T> {}

impl<T> StackList<T> {
    pub(crate) const fn new() -> Self {
        // INVARIANT: The list is empty.
        Self { first: ptr::null() }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.nodes().map(|node| &node.value)
    }

    fn nodes(&self) -> impl Iterator<Item = &Node<T>> {
        let mut next = self.first;
        core::iter::from_fn(move || {
            // SAFETY: By the type invariant `next` is null or points to a valid node. The node
            // stays valid while the list is borrowed, because its task needs the lock to remove it.
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

/// Calls `f` while `value` is in the list that `lock` locks. Before `value` is added, `check` is
/// called under the same lock; if it fails, its error is returned and `f` is not called.
///
/// May sleep if `lock` or `f` does.
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
        // INVARIANT: `node` is pinned, and is removed below before this function returns: nothing
        // unwinds in the kernel.
        list.first = &*node;
    }
    let result = f();
    lock().remove(&node);
    Ok(result)
}
