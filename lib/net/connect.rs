// SPDX-License-Identifier: GPL-2.0

//! The client's side of a new connection.

use super::{
    device::Device,
    keepalive::Keepalive,
    namespace::Namespace,
    options::{
        common_options,
        Options, //
    },
    socket::{
        Protocol,
        Socket, //
    },
    socket_option::{
        CongestionControl,
        SocketOption, //
    },
    stream::TcpStream, //
};
use crate::sync::context;
use core::net::SocketAddr;
use kernel::{
    prelude::*,
    time::Delta, //
};

/// Options with which a [`TcpStream`] connects; made by [`TcpStream::options`].
///
/// Options may be set in any context; what is out of range is found by [`connect`](Self::connect),
/// which sleeps.
///
/// # Examples
///
/// ```
/// use core::net::{Ipv4Addr, SocketAddr};
/// use kernel::{prelude::*, time::Delta};
/// use ktcp_server::net::{Namespace, TcpListener, TcpStream};
///
/// let here = Namespace::initial();
/// let listener = TcpListener::bind(&here, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
/// let client = TcpStream::options()
///     .nodelay(true)
///     .user_timeout(Delta::from_secs(5))
///     .timeout(Delta::from_secs(2))
///     .connect(&here, listener.local_addr()?)?;
/// client.write_all(b"hello")?;
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Default)]
pub struct ConnectOptions {
    common: Options,
    local: Option<SocketAddr>,
    timeout: Option<Delta>,
}

impl ConnectOptions {
    common_options! {}

    /// The address and port to connect from, either of which the kernel chooses when it is 0. It
    /// must be of the family of the address to connect to.
    pub fn local_addr(mut self, addr: SocketAddr) -> Self {
        self.local = Some(addr);
        self
    }

    /// Sets how long to wait for the peer to answer; by default as long as the kernel goes on asking
    /// (sysctl `net.ipv4.tcp_syn_retries`), some two minutes.
    pub fn timeout(mut self, timeout: Delta) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Connects to `addr`.
    ///
    /// # Errors
    ///
    /// - `ECONNREFUSED`: no socket listens there.
    /// - `ETIMEDOUT`: the peer has not answered in [time](Self::timeout).
    /// - `EHOSTUNREACH`, `ENETUNREACH`: there is no way to go.
    /// - `EADDRINUSE`, `EADDRNOTAVAIL`: the [local address](Self::local_addr) is in use, or is not
    ///   of this machine.
    /// - `EINVAL`: an option out of its range, or a local address of another family.
    /// - `ENODEV`: there is no such [device](Self::device).
    /// - `EPROTONOSUPPORT`, `ENOPROTOOPT`: the kernel lacks [MPTCP](Self::mptcp).
    /// - `EINTR`, `ERESTARTSYS`: a signal is pending for the calling task.
    /// - `ENOMEM` and its like.
    ///
    /// May sleep, and does until the peer has answered.
    pub fn connect(self, namespace: &Namespace, addr: SocketAddr) -> Result<TcpStream> {
        context::may_sleep()?;
        let socket = Socket::new(namespace, &addr, self.common.protocol)?;
        self.common.apply(&socket, addr.is_ipv6())?;
        if let Some(local) = self.local {
            if local.is_ipv4() != addr.is_ipv4() {
                return Err(EINVAL);
            }
            socket.bind(local)?;
        }
        socket.connect(addr, self.timeout)?;
        Ok(TcpStream::from_socket(socket))
    }
}

impl TcpStream {
    /// Options that start from the defaults, for a connection as a client. Any context.
    pub fn options() -> ConnectOptions {
        ConnectOptions::default()
    }

    /// Connects to `addr` with the default options; see [`ConnectOptions::connect`].
    ///
    /// May sleep, and does until the peer has answered.
    pub fn connect(namespace: &Namespace, addr: SocketAddr) -> Result<Self> {
        Self::options().connect(namespace, addr)
    }
}
