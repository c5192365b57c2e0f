// SPDX-License-Identifier: GPL-2.0

//! The server as its owner sees it.

mod accept;
mod builder;
mod config;
mod debugfs;
mod factory;
mod handle;
mod limits;
mod listening;
mod running;
mod shared;
mod table;

pub use self::builder::Builder;
#[cfg(CONFIG_KUNIT = "y")]
pub(crate) use self::handle::runs_code_of_a_server;
use self::{
    config::Config,
    factory::ErasedHandler,
    handle::ServerHandle,
    listening::Listening,
    running::RunningServer,
    shared::Shared, //
};
use crate::{
    handler::Handler,
    module::cleanup::DeferredArc,
    stats::Statistics, //
};
#[cfg(CONFIG_KUNIT = "y")]
use crate::{
    module::kthread,
    sync::deadlock, //
};
use core::net::SocketAddr;
use kernel::{
    prelude::*,
    sync::Arc,
    time::Delta, //
};

/// A TCP server that runs inside the kernel for as long as this value exists.
///
/// Dropping it stops listening, stops receiving, sends what is still to be sent (no longer than
/// [`Builder::drain`] says), resets what is left, and waits for every thread. Afterwards no
/// instruction of the module runs on its behalf and none of its memory is held, so a module keeps
/// the server in its own data and needs no further thought for `rmmod`.
///
/// # When it is dropped elsewhere, or not at all
///
/// - In a method of a handler, be it its own or that of another server, and with a handler that owns
///   it: the server stops listening and receiving, and the rest of the work is done without waiting
///   for it: its own handler has to return first. The module can be unloaded only when it is done.
/// - By a thread or an item of a queue for which its own handler waits: likewise.
/// - Where one must not sleep, as in a method of a handler that [does not](Handler::MAY_SLEEP): all of
///   it is done so, a little later.
/// - Never, because the value was leaked: the server runs until the module is unloaded, which
///   stops it, with a line in the log. Its memory stays leaked.
///
/// # Examples
///
/// See the [crate documentation](crate).
pub struct KernelTcpServer {
    handle: Arc<ServerHandle>,
    shared: DeferredArc<Shared>,
}

impl KernelTcpServer {
    fn start<H: Handler>(
        module: &'static ThisModule,
        config: Config,
        listening: Arc<Listening>,
        handler: H,
    ) -> Result<Self> {
        let name = config.name;
        let handler = ErasedHandler::new(handler)?;
        let handle = ServerHandle::new(&name, module, |folder| {
            RunningServer::start(folder, config, listening, handler)
        })?;
        let shared = handle.shared().cloned().ok_or(EINVAL)?;
        Ok(Self { handle, shared })
    }

    /// The address on which the server listens; with the port that the kernel chose when it was
    /// asked to.
    ///
    /// Any context.
    pub fn local_addr(&self) -> SocketAddr {
        self.shared.local_addr()
    }

    /// Returns what the server has counted so far.
    ///
    /// May sleep.
    pub fn statistics(&self) -> Statistics {
        self.shared.statistics()
    }

    /// Calls `f`, noted as waiting for the end of the server: `EDEADLK` if that waits for the caller.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn while_waited_for<R>(&self, f: impl FnOnce() -> R) -> Result<R> {
        deadlock::wait_for(kthread::current_waiter(), &*self.handle, f)
    }

    /// Stops the server as dropping it does, but waits `within` at most for connections to send
    /// what is to be sent.
    ///
    /// At the deadline connections are reset, and handlers that are still at work are interrupted: what
    /// they wait for fails, as [`TcpStream::read`](crate::net::TcpStream::read) with `ERESTARTSYS`. One
    /// that does not return all the same delays this; the log says so every ten seconds.
    ///
    /// Waits as dropping the server does, and is told of `within` where it does not wait. Less than nothing
    /// counts as nothing, and more than a day as a day.
    pub fn shutdown(self, within: Delta) {
        self.handle.close(Some(within));
    }
}

impl Drop for KernelTcpServer {
    fn drop(&mut self) {
        self.handle.close(None);
    }
}
