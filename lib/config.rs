// SPDX-License-Identifier: GPL-2.0

//! How a server is set up.

use crate::{
    buffer::BufferSize,
    handler::Handler,
    net::{
        Namespace,
        TcpListener, //
    },
    server::KernelTcpServer, //
};
use core::net::{
    Ipv4Addr,
    SocketAddr, //
};
use kernel::{
    prelude::*,
    time::Delta, //
};

/// How a server runs its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    /// A kernel thread for each connection, which blocks while the peer is silent. For handlers
    /// that sleep at will.
    Kthread,
}

/// What every part of a running server looks at.
pub(crate) struct Config {
    pub(crate) name: &'static CStr,
    pub(crate) input: BufferSize,
    pub(crate) output: BufferSize,
    pub(crate) drain: Delta,
}

/// Settings of a server that is about to start; made by [`KernelTcpServer::builder`].
///
/// All have a default:
///
/// | setting | default |
/// |---|---|
/// | [`listen`](Self::listen) | 127.0.0.1, a port that the kernel chooses |
/// | [`executor`](Self::executor) | [`Executor::Kthread`] |
/// | [`backlog`](Self::backlog) | 128 connections |
/// | [`input_buffer`](Self::input_buffer), [`output_buffer`](Self::output_buffer) | 16 KiB |
/// | [`drain`](Self::drain) | 5 s |
#[must_use = "a server runs once it is started"]
pub struct Builder {
    config: Config,
    addr: SocketAddr,
    backlog: u16,
    executor: Executor,
}

impl Builder {
    pub(crate) fn new(name: &'static CStr) -> Self {
        Self {
            config: Config {
                name,
                input: BufferSize::of::<{ 16 << 10 }>(),
                output: BufferSize::of::<{ 16 << 10 }>(),
                drain: Delta::from_secs(5),
            },
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            backlog: 128,
            executor: Executor::Kthread,
        }
    }

    /// The address and port to listen on.
    pub fn listen(mut self, addr: SocketAddr) -> Self {
        self.addr = addr;
        self
    }

    /// How connections are run.
    pub fn executor(mut self, executor: Executor) -> Self {
        self.executor = executor;
        self
    }

    /// How many connections may wait to be accepted.
    pub fn backlog(mut self, connections: u16) -> Self {
        self.backlog = connections;
        self
    }

    /// How much a connection holds that it has received and its handler has not consumed, and so
    /// how long a message can be.
    pub fn input_buffer(mut self, size: BufferSize) -> Self {
        self.config.input = size;
        self
    }

    /// How much a handler can put into its [`Output`](crate::Output) before it must wait for it to
    /// be sent.
    pub fn output_buffer(mut self, size: BufferSize) -> Self {
        self.config.output = size;
        self
    }

    /// How long dropping the server waits for connections to send what is still to be sent, before
    /// it resets them.
    pub fn drain(mut self, at_most: Delta) -> Self {
        self.config.drain = at_most;
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    ///
    /// Those of [`ListenOptions::bind`](crate::net::ListenOptions::bind), such as `EADDRINUSE`;
    /// `EINVAL` for a negative [`drain`](Self::drain); `ENOMEM`. Nothing is left behind then, and
    /// the handler is dropped.
    ///
    /// May sleep.
    pub fn start<H: Handler>(
        self,
        module: &'static ThisModule,
        handler: H,
    ) -> Result<KernelTcpServer> {
        if self.config.drain.is_negative() {
            pr_err!("{}: the time to drain is negative\n", self.config.name);
            return Err(EINVAL);
        }
        let name = self.config.name;
        let addr = self.addr;
        let listener = TcpListener::options()
            .backlog(self.backlog)
            // What a handler has to say is gathered before it is sent: waiting for more would only
            // add the peer's delay in acknowledging.
            .nodelay(true)
            .bind(&Namespace::current()?, addr)
            .inspect_err(|error| pr_err!("{name}: cannot listen on {addr:?}: {error:?}\n"))?;

        match self.executor {
            Executor::Kthread => KernelTcpServer::start(module, self.config, listener, handler),
        }
    }
}
