// SPDX-License-Identifier: GPL-2.0

//! Empty buffers between polls, for executors with more tasks than polls at a time.

use crate::{
    connection::{
        Connection, //
        PollResult,
    },
    conversation::Spare,
    lock_class::new_spinlock, //
};
use kernel::{
    prelude::*,
    sync::{
        Arc,
        SpinLock, //
    }, //
};

/// How many pairs of buffers are kept. More polls at a time than that get theirs from the
/// allocator, and an idle task has none.
const SPARES: usize = 16;

/// Pairs of spare buffers, for the next poll.
pub(crate) struct Spares(Pin<KBox<SpinLock<KVec<Spare>>>>);

impl Spares {
    /// May sleep.
    pub(super) fn new() -> Result<Self> {
        let spares = KVec::with_capacity(SPARES, GFP_KERNEL)?;
        Ok(Self(KBox::pin_init(new_spinlock!(spares), GFP_KERNEL)?))
    }

    /// Polls a connection. Sleeps where its handler does.
    pub(super) fn poll(&self, connection: &Arc<Connection>) -> PollResult {
        let mut spare = self.0.lock().pop().unwrap_or_default();
        let after = connection.poll(&mut spare);
        // Beyond the capacity, the buffers are freed: behind the lock.
        let rest = self.0.lock().push_within_capacity(spare);
        drop(rest);
        after
    }

    /// Frees the buffers, when there are no more polls. May sleep.
    pub(super) fn clear(&self) {
        let spares = core::mem::take(&mut *self.0.lock());
        drop(spares);
    }
}
