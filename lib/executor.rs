// SPDX-License-Identifier: GPL-2.0

//! How connections are run.

pub(crate) mod kthread;

use core::net::SocketAddr;
use kernel::{
    prelude::*,
    time::Delta, //
};

/// A server that runs, whatever its handler and its executor are.
pub(crate) trait Running: Send + Sync {
    /// The address on which it listens. May sleep.
    fn local_addr(&self) -> Result<SocketAddr>;

    /// Stops listening and receiving, sends what is to be sent for `within` at most, then resets
    /// what is left. When this returns, no task runs code of the handler any more, nor will. A
    /// second call does nothing. Sleeps.
    fn stop(&mut self, within: Delta);
}
