// SPDX-License-Identifier: GPL-2.0

//! TCP servers inside the kernel, without `unsafe`.
//!
//! A module implements [`Handler`], which is its protocol and nothing else, and keeps a
//! [`KernelTcpServer`], which does everything else: sockets, threads, buffers and an orderly end.
//!
//! # Examples
//!
//! An echo server. `insmod` starts it, `rmmod` ends it, whatever its clients do:
//!
//! ```
//! use kernel::prelude::*;
//! use ktcp_server::{Handler, Input, KernelTcpServer, Next, Output, Peer};
//!
//! struct Echo;
//!
//! impl Handler for Echo {
//!     type Session = ();
//!
//!     fn open(&self, _peer: &Peer<'_>) -> Result {
//!         Ok(())
//!     }
//!
//!     fn receive(&self, _session: &mut (), input: &mut Input<'_>, output: &mut Output<'_>) -> Result<Next> {
//!         output.forward(input);
//!         Ok(Next::Receive)
//!     }
//! }
//!
//! struct EchoModule {
//!     _server: KernelTcpServer,
//! }
//!
//! impl kernel::Module for EchoModule {
//!     fn init(module: &'static ThisModule) -> Result<Self> {
//!         Ok(Self {
//!             _server: KernelTcpServer::builder(c"echo").start(module, Echo)?,
//!         })
//!     }
//! }
//! ```
//!
//! # How it is built
//!
//! Data flows one way: socket, connection, handler, output, socket. Executors only decide when.
//!
//! Each module uses only those before it:
//!
//! | module | what it is |
//! |---|---|
//! | `shim` | functions of C that Rust cannot reach otherwise |
//! | `util` | data structures without locks; [`error`] |
//! | `sync` | synchronisation primitives that the `kernel` crate lacks; [`SpinLockBh`] |
//! | `module` | [`kthread`] and [`workqueue`], and the registry that ends what runs code of a module |
//! | [`fs`] | files below a directory, for services that give them out |
//! | [`net`] | sockets like those of `std::net`; the only code that touches raw ones |
//! | `buffer` | memory from which only received bytes come out |
//! | `handler` | [`Handler`] and what it is given |
//! | `stats` | [`Statistics`] |
//! | `executor` | what polls the connections that are due, and where |
//! | `connection` | one connection: when it is polled, what a poll does, when it ends |
//! | `server` | [`KernelTcpServer`]: accepting, limits, stopping; its [`Builder`] |
//! | `param` | [`parameters!`]: what an operator sets |
//! | `testing` | for the KUnit tests of services |

mod buffer;
mod connection;
mod executor;
pub mod fs;
mod handler;
mod module;
pub mod net;
#[doc(hidden)]
pub mod param;
mod server;
mod shim;
mod stats;
mod sync;
#[cfg(CONFIG_KUNIT = "y")]
pub mod testing;
mod util;

pub use self::{
    buffer::BufferSize,
    executor::Executor,
    handler::{
        CloseReason,
        Handler,
        Input,
        Next,
        Output,
        Peer,
        Sender, //
    },
    module::{
        kthread,
        workqueue, //
    },
    param::{
        Parameter,
        Text, //
    },
    server::{
        Builder,
        KernelTcpServer, //
    },
    stats::Statistics,
    sync::spinlock_bh::{
        SpinLockBh,
        SpinLockBhBackend,
        SpinLockBhGuard, //
    },
    util::error, //
};
#[doc(no_inline)]
pub use core::net::SocketAddr;

/// The prefix that the `pr_` macros put before each line; modules get theirs from `module!`.
const __LOG_PREFIX: &[u8] = b"ktcp_server\0";
