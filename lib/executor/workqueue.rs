// SPDX-License-Identifier: GPL-2.0

//! A work item for each connection that is due, on the server's own workqueue.

use crate::{
    connection::Connection,
    conversation::Spare,
    workqueue::RawQueue, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::{
        Arc,
        SpinLock, //
    }, //
};

/// How many pairs of spare buffers are kept between visits.
const SPARES: usize = 16;

/// The workqueue, and spare buffers for its workers.
pub(crate) struct Pool {
    queue: RawQueue,
    spares: Pin<KBox<SpinLock<KVec<Spare>>>>,
}

impl Pool {
    /// May sleep.
    pub(super) fn new(name: &CStr) -> Result<Self> {
        let spares = KVec::with_capacity(SPARES, GFP_KERNEL)?;
        Ok(Self {
            queue: RawQueue::unbound(name)?,
            spares: KBox::pin_init(new_spinlock!(spares), GFP_KERNEL)?,
        })
    }

    /// Any context.
    pub(super) fn enqueue(&self, connection: Arc<Connection>) {
        // The state of a connection lets it be queued once only, so it is not queued now.
        let _ = self.queue.enqueue(connection);
    }

    pub(super) fn visit(&self, connection: &Arc<Connection>) {
        let mut spare = self.spares.lock().pop().unwrap_or_default();
        connection.visit(&mut spare);
        // Beyond the capacity, the buffers are freed: behind the lock.
        let rest = self.spares.lock().push_within_capacity(spare);
        drop(rest);
    }

    /// Returns when all work that is queued now has been done. Sleeps.
    pub(super) fn flush(&self) {
        self.queue.flush();
    }
}
