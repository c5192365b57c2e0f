// SPDX-License-Identifier: GPL-2.0

//! The listening side.

use super::{
    namespace::Namespace,
    socket::{
        Shutdown,
        Socket,
        Wait,
        TCP_NODELAY, //
    },
    stream::TcpStream, //
};
use crate::error::ECONNABORTED;
use core::net::SocketAddr;
use kernel::{
    bindings,
    prelude::*, //
};

/// How a [`TcpListener`] listens; made by [`TcpListener::options`].
///
/// The address may be bound again at once after an earlier listener has gone
/// (`SO_REUSEADDR`), as for every server in `std::net`; a second listener on the address of one
/// that listens is refused all the same.
#[derive(Clone)]
pub struct ListenOptions {
    backlog: u16,
    nodelay: bool,
}

impl ListenOptions {
    /// How many connections may wait for [`accept`](TcpListener::accept); 128 by default. The
    /// sysctl `net.core.somaxconn` is a further limit.
    pub fn backlog(mut self, connections: u16) -> Self {
        self.backlog = connections;
        self
    }

    /// Whether accepted connections start with [`TcpStream::set_nodelay`]; not by default.
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// Listens on `addr`. Port 0 lets the kernel choose one, which
    /// [`local_addr`](TcpListener::local_addr) then tells.
    ///
    /// # Errors
    ///
    /// - `EADDRINUSE`: another socket listens there.
    /// - `EADDRNOTAVAIL`: the machine does not have that address.
    /// - `EACCES`: the caller may not use a port that low.
    /// - `EAFNOSUPPORT`: the kernel was built without that family.
    /// - `ENOMEM` and its like.
    ///
    /// May sleep.
    pub fn bind(self, namespace: &Namespace, addr: SocketAddr) -> Result<TcpListener> {
        let socket = Socket::new(namespace, &addr)?;
        socket.set_int(bindings::SOL_SOCKET, bindings::SO_REUSEADDR, 1)?;
        if self.nodelay {
            socket.set_int(bindings::SOL_TCP, TCP_NODELAY, 1)?;
        }
        socket.bind(addr)?;
        socket.listen(self.backlog.into())?;
        Ok(TcpListener { socket })
    }
}

/// A TCP socket that listens for connections; closed when dropped.
///
/// See the [module](super) for an example.
pub struct TcpListener {
    socket: Socket,
}

impl TcpListener {
    /// Options that start from the defaults.
    pub fn options() -> ListenOptions {
        ListenOptions {
            backlog: 128,
            nodelay: false,
        }
    }

    /// Listens on `addr` with the default options; see [`ListenOptions::bind`].
    ///
    /// May sleep.
    pub fn bind(namespace: &Namespace, addr: SocketAddr) -> Result<Self> {
        Self::options().bind(namespace, addr)
    }

    /// Waits for a connection; returns it and the address of the peer.
    ///
    /// # Errors
    ///
    /// - `EINVAL`: the listener was [shut down](Self::shutdown).
    /// - `ECONNABORTED`: a connection came and went. Call again.
    /// - `ENOMEM`, `ENFILE`, `ENOBUFS`: no resources. They tend to persist: pause before the next
    ///   call.
    /// - `EINTR`, `ERESTARTSYS`: a signal is pending for the calling task.
    ///
    /// May sleep, and does until a connection comes.
    pub fn accept(&self) -> Result<(TcpStream, SocketAddr)> {
        self.accept_with(Wait::Block)
    }

    /// Like [`accept`](Self::accept), but `EAGAIN` where that would wait.
    ///
    /// May sleep, but not for a connection.
    pub fn try_accept(&self) -> Result<(TcpStream, SocketAddr)> {
        self.accept_with(Wait::No)
    }

    fn accept_with(&self, wait: Wait) -> Result<(TcpStream, SocketAddr)> {
        let stream = TcpStream::from_socket(self.socket.accept(wait)?);
        // A connection that was reset before it was accepted has no peer any more.
        let peer = stream.peer_addr().map_err(|_| ECONNABORTED)?;
        Ok((stream, peer))
    }

    /// The address on which it listens.
    ///
    /// May sleep.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Stops listening for good: connections that were not yet accepted are reset, the address is
    /// free, and every present and later [`accept`](Self::accept) fails with `EINVAL`.
    ///
    /// May sleep.
    pub fn shutdown(&self) {
        // The one error is that of a socket which does not listen any more.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}
