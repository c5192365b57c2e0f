// SPDX-License-Identifier: GPL-2.0

//! A kernel thread for each connection, which sleeps while there is nothing to do.

use super::scratch_pool::ScratchPool;
use crate::{
    connection::{
        Connection,
        PollResult, //
    },
    module::kthread::{
        self,
        JoinHandle, //
    },
    sync::deadlock::ServerId, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::Arc, //
};

/// Starts the thread of a connection. May sleep.
pub(super) fn spawn(
    server: &CStr,
    id: ServerId,
    connection: Arc<Connection>,
    pool: Arc<ScratchPool>,
) -> Result<JoinHandle<()>> {
    let name = CString::try_from_fmt(fmt!("{server}/{}", connection.peer().port()))?;
    kthread::spawn_own(id, &name, move || loop {
        connection.parker.park_until(|| connection.is_queued());
        // If it is due again, it waits for nothing above.
        if let PollResult::Closed = pool.poll(&connection) {
            return;
        }
    })
}
