// SPDX-License-Identifier: GPL-2.0

//! Empty buffers between polls, for executors with more tasks than polls at a time.

use super::{
    PollResult,
    Pollable, //
};
use crate::sync::lock_class::new_spinlock;
use kernel::{
    prelude::*,
    sync::{
        Arc,
        SpinLock, //
    }, //
};

/// Number of pairs of buffers that are kept. More polls at a time than that get theirs from the
/// allocator, and an idle task has none.
const POOLED: usize = 16;

/// Scratch buffers that no poll uses, for executors with more tasks than polls at a time.
pub(crate) struct ScratchPool<T: Pollable>(Pin<KBox<SpinLock<KVec<T::Scratch>>>>);

impl<T: Pollable> ScratchPool<T> {
    /// May sleep.
    pub(super) fn new() -> Result<Self> {
        let pool = KVec::with_capacity(POOLED, GFP_KERNEL)?;
        Ok(Self(KBox::pin_init(new_spinlock!(pool), GFP_KERNEL)?))
    }

    /// Polls an item. Sleeps where its handler does.
    pub(super) fn poll(&self, item: &Arc<T>) -> PollResult {
        let mut scratch = self.0.lock().pop().unwrap_or_default();
        let result = item.poll(&mut scratch);
        // Beyond the capacity, the buffers are freed: behind the lock.
        let rest = self.0.lock().push_within_capacity(scratch);
        drop(rest);
        result
    }

    /// Frees the buffers, when there are no more polls. May sleep.
    pub(super) fn clear(&self) {
        let pool = core::mem::take(&mut *self.0.lock());
        drop(pool);
    }
}
