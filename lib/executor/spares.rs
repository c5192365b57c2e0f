// SPDX-License-Identifier: GPL-2.0

//! Empty buffers between visits, for executors with more tasks than visits at a time.

use crate::{
    connection::{
        After,
        Connection, //
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

/// How many pairs of buffers are kept. More visits at a time than that get theirs from the
/// allocator, and an idle task has none.
const SPARES: usize = 16;

/// Pairs of spare buffers, for whoever makes the next visit.
pub(crate) struct Spares(Pin<KBox<SpinLock<KVec<Spare>>>>);

impl Spares {
    /// May sleep.
    pub(super) fn new() -> Result<Self> {
        let spares = KVec::with_capacity(SPARES, GFP_KERNEL)?;
        Ok(Self(KBox::pin_init(new_spinlock!(spares), GFP_KERNEL)?))
    }

    /// Visits a connection. Sleeps where its handler does.
    pub(super) fn visit(&self, connection: &Arc<Connection>) -> After {
        let mut spare = self.0.lock().pop().unwrap_or_default();
        let after = connection.visit(&mut spare);
        // Beyond the capacity, the buffers are freed: behind the lock.
        let rest = self.0.lock().push_within_capacity(spare);
        drop(rest);
        after
    }

    /// Frees the buffers, when there are no more visits. May sleep.
    pub(super) fn clear(&self) {
        let spares = core::mem::take(&mut *self.0.lock());
        drop(spares);
    }
}
