// SPDX-License-Identifier: GPL-2.0

//! A work item for each connection that is due, on the server's own workqueue.

use super::spares::Spares;
use crate::{
    connection::{
        After,
        Connection, //
    },
    workqueue::RawQueue, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// The workqueue, and spare buffers for its workers.
pub(crate) struct Pool {
    queue: RawQueue,
    spares: Spares,
}

impl Pool {
    /// May sleep.
    pub(super) fn new(name: &CStr) -> Result<Self> {
        Ok(Self {
            queue: RawQueue::unbound(name)?,
            spares: Spares::new()?,
        })
    }

    /// Any context.
    pub(super) fn enqueue(&self, connection: Arc<Connection>) {
        // The state of a connection lets it be queued once only, so it is not queued now.
        let _ = self.queue.enqueue(connection);
    }

    pub(super) fn visit(&self, connection: &Arc<Connection>) {
        if let After::Again | After::Elsewhere = self.spares.visit(connection) {
            self.enqueue(connection.clone());
        }
    }

    /// Returns when all work that is queued now has been done, which is the last. Sleeps.
    pub(super) fn stop(&self) {
        self.queue.flush();
        self.spares.clear();
    }
}
