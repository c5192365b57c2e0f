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
//! | module | what it is |
//! |---|---|
//! | [`net`] | sockets like those of `std::net`; the only code that touches raw ones |
//! | [`fs`] | files below a directory, for services that give them out |
//! | `buffer`, `pages` | memory from which only received bytes come out |
//! | `handler` | [`Handler`] and what it is given |
//! | `conversation` | what one peer and the handler have to say to each other |
//! | `connection`, `timers`, `peer` | when a conversation goes on, when it ends, and who else may send |
//! | `executor`, `softirq`, `spinlock` | what polls the connections that are due, and where |
//! | `service`, `listening`, `limits`, `stats`, `debugfs`, `trace` | all connections of a server: accepting, counting, stopping |
//! | `server`, `config` | what the owner of a server holds and sets |
//! | `param` | [`parameters!`]: what an operator sets |
//! | [`kthread`], [`workqueue`] | threads and queues of one's own, for closures |
//! | `registry`, `handle` | that no server, thread or queue outlives its module |
//! | `deadlock` | that no tasks wait for each other |
//! | `cleanup`, `library` | the cleanup workqueue; the library's own beginning and end |
//! | `context`, `name` | whether the caller may sleep; the name of a server |
//! | `oneshot`, `parker`, `latch`, `lock_class`, `ready`, `slab`, `stack_list`, `backoff` | what the `kernel` crate lacks |
//! | `testing` | for the KUnit tests of services |
//! | [`error`], `compat` | what the `kernel` crate of older kernels lacks |
//! | `shim` | functions of C that Rust cannot reach otherwise |

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
