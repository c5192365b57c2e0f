// SPDX-License-Identifier: GPL-2.0

//! Pool of scratch buffers, for executors with more tasks than concurrent polls.

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

/// Capacity of the pool. Further concurrent polls get their buffers from the allocator.
const POOLED: usize = 16;

/// Scratch buffers that no poll uses.
pub(crate) struct ScratchPool<T: Pollable>(Pin<KBox<SpinLock<KVec<T::Scratch>>>>);

impl<T: Pollable> ScratchPool<T> {
    /// Creates an empty pool. May sleep.
    pub(super) fn new() -> Result<Self> {
        let pool = KVec::with_capacity(POOLED, GFP_KERNEL)?;
        Ok(Self(KBox::pin_init(new_spinlock!(pool), GFP_KERNEL)?))
    }

    /// Polls an item. Sleeps where its handler does.
    pub(super) fn poll(&self, item: &Arc<T>) -> PollResult {
        let mut scratch = self.0.lock().pop().unwrap_or_default();
        let result = item.poll(&mut scratch);
        // Buffers beyond the capacity are freed after the lock is released.
        let rest = self.0.lock().push_within_capacity(scratch);
        drop(rest);
        result
    }

    /// Frees the buffers, when no more polls will come. May sleep.
    pub(super) fn clear(&self) {
        let pool = core::mem::take(&mut *self.0.lock());
        drop(pool);
    }
}
