// SPDX-License-Identifier: GPL-2.0

//! TCP sockets with the names and habits of [`std::net`].
//!
//! [`TcpListener`] and [`TcpStream`] own a kernel socket each. Every method takes `&self`, as in
//! `std`: the kernel serialises concurrent calls by the socket lock. Addresses are those of
//! [`core::net`].
//!
//! # Families
//!
//! A socket is of the family of the address that it is given. One that listens on the unspecified
//! IPv6 address is dual: it accepts IPv4 peers, too, and shows them with mapped addresses
//! (`::ffff:192.0.2.1`, RFC 4291, section 2.5.5.2), unless
//! [`only_v6`](ListenOptions::only_v6) or the sysctl `net.ipv6.bindv6only` says otherwise.
//!
//! Raw sockets appear in this module only, and nothing in it knows of servers or handlers.
//!
//! # Context
//!
//! All methods may sleep, those of the `try_` family included: they do not wait for the peer, but
//! they do take the socket lock. Dropping a socket may sleep too.
//!
//! # Examples
//!
//! ```
//! use core::net::{Ipv4Addr, SocketAddr};
//! use kernel::prelude::*;
//! use ktcp_server::net::{Namespace, Shutdown, TcpListener, TcpStream};
//!
//! let namespace = Namespace::initial();
//! let listener = TcpListener::bind(&namespace, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
//! let client = TcpStream::connect(&namespace, listener.local_addr()?)?;
//! let (server, _peer) = listener.accept()?;
//!
//! client.write_all(b"hello")?;
//! client.shutdown(Shutdown::Write)?;
//!
//! let mut word = [0; 8];
//! assert_eq!(server.read(&mut word)?, 5);
//! assert_eq!(server.read(&mut word)?, 0);
//! # Ok::<(), Error>(())
//! ```
//!
//! Opening, accepting, connecting, reading and writing may sleep, and fail with `EBUSY` where the caller
//! must not.
//!
//! [`std::net`]: https://doc.rust-lang.org/std/net/index.html

mod addr;
mod atomic;
mod connect;
mod count;
mod device;
mod keepalive;
mod listener;
mod namespace;
mod options;
pub(crate) mod pages;
mod progress;
mod scoped_addr;
mod settings;
mod socket;
mod socket_option;
mod stream;
mod watch;

#[cfg(CONFIG_TRACEPOINTS)]
pub(crate) use self::addr::RawAddr;
pub(crate) use self::{
    atomic::{
        FilePiece,
        Fragment,
        Sent, //
    },
    progress::Progress,
    settings::Refusal,
    watch::{
        Watch,
        Watcher, //
    }, //
};
pub use self::{
    connect::ConnectOptions,
    device::Device,
    keepalive::Keepalive,
    listener::{
        ListenOptions,
        TcpListener, //
    },
    namespace::Namespace,
    scoped_addr::ScopedAddr,
    socket::Shutdown,
    socket_option::{
        CongestionControl,
        SocketOption, //
    },
    stream::TcpStream, //
};
