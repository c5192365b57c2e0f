// SPDX-License-Identifier: GPL-2.0

//! TCP sockets with the names and habits of [`std::net`].
//!
//! [`TcpListener`] and [`TcpStream`] own a kernel socket each. Every method takes `&self`, as in
//! `std`: the kernel serialises concurrent calls by the socket lock. Addresses are those of
//! [`core::net`].
//!
//! Only the private submodule `socket` touches raw sockets; nothing in this module knows of servers
//! or handlers.
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
//! [`std::net`]: https://doc.rust-lang.org/std/net/index.html

mod addr;
mod listener;
mod namespace;
mod socket;
mod stream;
mod watch;

pub(crate) use self::watch::{
    RawWatch,
    Watch,
    Watcher, //
};
pub use self::{
    listener::{
        ListenOptions,
        TcpListener, //
    },
    namespace::Namespace,
    socket::Shutdown,
    stream::TcpStream, //
};
