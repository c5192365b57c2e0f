// SPDX-License-Identifier: GPL-2.0

//! Empty buffers between polls, for executors with more tasks than polls at a time.

use crate::{
    connection::{
        driver::Scratch,
        Connection,
        PollResult, //
    },
    sync::lock_class::new_spinlock, //
};
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
pub(crate) struct ScratchPool(Pin<KBox<SpinLock<KVec<Scratch>>>>);

impl ScratchPool {
    /// May sleep.
    pub(super) fn new() -> Result<Self> {
        let pool = KVec::with_capacity(POOLED, GFP_KERNEL)?;
        Ok(Self(KBox::pin_init(new_spinlock!(pool), GFP_KERNEL)?))
    }

    /// Polls a connection. Sleeps where its handler does.
    pub(super) fn poll(&self, connection: &Arc<Connection>) -> PollResult {
        let mut scratch = self.0.lock().pop().unwrap_or_default();
        let after = connection.poll(&mut scratch);
        // Beyond the capacity, the buffers are freed: behind the lock.
        let rest = self.0.lock().push_within_capacity(scratch);
        drop(rest);
        after
    }

    /// Frees the buffers, when there are no more polls. May sleep.
    pub(super) fn clear(&self) {
        let pool = core::mem::take(&mut *self.0.lock());
        drop(pool);
    }
}
