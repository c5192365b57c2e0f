// SPDX-License-Identifier: GPL-2.0

//! The server as its owner sees it.

use crate::{
    config::{
        Builder,
        Config, //
    },
    executor::{
        kthread::Threads,
        Running, //
    },
    handler::Handler,
    net::TcpListener, //
};
use core::net::SocketAddr;
use kernel::{
    prelude::*,
    time::Delta, //
};

/// A TCP server that runs inside the kernel for as long as this value exists.
///
/// Dropping it stops listening, stops receiving, sends what is still to be sent (no longer than
/// [`Builder::drain`] says), resets what is left, and waits for every thread. Afterwards no
/// instruction of the module runs on its behalf and none of its memory is held, so a module keeps
/// the server in its own data and needs no further thought for `rmmod`.
///
/// # Examples
///
/// See the [crate](crate).
pub struct KernelTcpServer {
    running: KBox<dyn Running>,
}

impl KernelTcpServer {
    /// Settings for a server of that name, which appears in the names of its threads and in the
    /// log.
    pub fn builder(name: &'static CStr) -> Builder {
        Builder::new(name)
    }

    pub(crate) fn start<H: Handler>(
        config: Config,
        listener: TcpListener,
        handler: H,
    ) -> Result<Self> {
        let threads = Threads::start(config, listener, handler)?;
        Ok(Self {
            running: KBox::new(threads, GFP_KERNEL)?,
        })
    }

    /// The address on which the server listens; with the port that the kernel chose when it was
    /// asked to.
    ///
    /// May sleep.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.running.local_addr()
    }

    /// Stops the server as dropping it does, but waits `within` at most for connections to send
    /// what is to be sent.
    ///
    /// A handler that does not return delays this beyond the deadline; the log says so every ten
    /// seconds.
    ///
    /// Sleeps. Must not be called from a method of the server's own handler.
    pub fn shutdown(mut self, within: Delta) {
        self.running.stop(within);
    }
}
