// SPDX-License-Identifier: GPL-2.0

//! The listening side.

use super::{
    device::Device,
    keepalive::Keepalive,
    namespace::Namespace,
    options::{
        common_options,
        Options, //
    },
    settings::Refusal,
    socket::{
        Blocking, //
        Protocol,
        Shutdown,
        Socket,
    },
    socket_option::{
        CongestionControl,
        SocketOption, //
    },
    stream::TcpStream, //
};
use crate::{
    sync::context,
    util::error::ECONNABORTED, //
};
use core::{
    fmt::{
        Formatter,
        Result as Written, //
    },
    net::SocketAddr, //
};
use kernel::{
    prelude::*,
    time::Delta, //
};

/// Options with which a [`TcpListener`] listens; made by [`TcpListener::options`].
///
/// The address may be bound again at once after an earlier listener has gone
/// (`SO_REUSEADDR`), as for every server in `std::net`; a second listener on the address of one
/// that listens is refused all the same, unless both have [`reuse_port`](Self::reuse_port).
///
/// What is set for a listener and concerns connections is so for those that it accepts.
///
/// Whoever makes a listener, its options are set with the rights of the kernel: none of them needs a
/// capability.
///
/// Options may be set in any context; what is out of range is found by [`bind`](Self::bind), which
/// may sleep.
///
/// # Examples
///
/// ```
/// use core::net::{Ipv6Addr, SocketAddr};
/// use kernel::prelude::*;
/// use ktcp_server::net::{Keepalive, Namespace, TcpListener};
///
/// let listener = TcpListener::options()
///     .backlog(1024)
///     .only_v6(false) // for IPv4, too
///     .keepalive(Keepalive::new(60, 10, 6)?)
///     .bind(&Namespace::initial(), SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)))?;
/// assert_ne!(listener.local_addr()?.port(), 0);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone)]
pub struct ListenOptions {
    common: Options,
    backlog: u16,
    only_v6: Option<bool>,
}

impl ListenOptions {
    common_options! {}

    /// Sets how many connections may wait for [`accept`](TcpListener::accept); 128 by default. The
    /// sysctl `net.core.somaxconn` is a further limit.
    pub fn backlog(mut self, connections: u16) -> Self {
        self.backlog = connections;
        self
    }

    /// Sets whether several listeners, of this kernel or of root, may share the address, all of which
    /// must want it (`SO_REUSEPORT`); not by default. The kernel spreads newcomers over them.
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.common.reuse_port = reuse;
        self
    }

    /// Sets whether a listener on the unspecified IPv6 address is for IPv6 alone (`IPV6_V6ONLY`), or
    /// dual; see the [module](super#families). By default as the sysctl `net.ipv6.bindv6only` says.
    pub fn only_v6(mut self, only: bool) -> Self {
        self.only_v6 = Some(only);
        self
    }

    /// Takes bytes that come with the first packet of a connection (TCP Fast Open, RFC 7413) while no more than
    /// that many connections are not yet complete: 1 to 2^31 - 1. The sysctl `net.ipv4.tcp_fastopen` has to allow
    /// it for servers (2). Not by default.
    pub fn fast_open(mut self, pending: u32) -> Self {
        self.common.settings.fast_open = Some(pending);
        self
    }

    /// Accepts a connection only when its first bytes have come, or that many seconds have passed
    /// (`TCP_DEFER_ACCEPT`): 1 to 32767, which the kernel rounds up to a retransmission. Not by default, and not
    /// for protocols in which the server speaks first.
    pub fn defer_accept(mut self, seconds: u32) -> Self {
        self.common.settings.defer_accept = Some(seconds);
        self
    }

    /// Prefers this listener, among those that [share a port](Self::reuse_port), for what arrives on that CPU
    /// (`SO_INCOMING_CPU`). Not by default.
    pub fn incoming_cpu(mut self, cpu: u32) -> Self {
        self.common.settings.incoming_cpu = Some(cpu);
        self
    }

    /// Writes a line for each option, as `config` in debugfs has them.
    pub(crate) fn show(&self, f: &mut Formatter<'_>) -> Written {
        let Self {
            common,
            backlog,
            only_v6,
        } = self;
        writeln!(f, "{:<24} {backlog}", "backlog")?;
        let only_v6 = match only_v6 {
            None => "sysctl",
            Some(true) => "1",
            Some(false) => "0",
        };
        writeln!(f, "{:<24} {only_v6}", "only_v6")?;
        common.show(f)
    }

    /// Returns true if a [device](Self::device) was named.
    pub(crate) fn has_device(&self) -> bool {
        self.common.device.is_some()
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
    /// - `EINVAL`: an option out of its range, [`only_v6`](Self::only_v6) with an IPv4 address, or a
    ///   link-local address without its link.
    /// - `ENODEV`: there is no such [device](Self::device).
    /// - `ENOENT`: there is no such [congestion control](Self::congestion_control).
    /// - `ENOPROTOOPT`: a [socket option](Self::socket_option) that cannot be set.
    /// - `EPROTONOSUPPORT`, `ENOPROTOOPT`: the kernel lacks [MPTCP](Self::mptcp).
    /// - `ENOPROTOOPT`: MPTCP does not have an option that is set, as
    ///   [`user_timeout`](Self::user_timeout).
    /// - `ENOMEM` and its like.
    ///
    /// May sleep.
    pub fn bind(self, namespace: &Namespace, addr: SocketAddr) -> Result<TcpListener> {
        Ok(self.try_bind(namespace, addr)?)
    }

    /// Like [`bind`](Self::bind), and tells which option is the reason for an error.
    pub(crate) fn try_bind(
        self,
        namespace: &Namespace,
        addr: SocketAddr,
    ) -> Result<TcpListener, Refusal> {
        context::may_sleep()?;
        if addr.is_ipv4() && self.only_v6 == Some(true) {
            return Err(EINVAL.into());
        }
        self.common.check()?;
        let socket = Socket::new(namespace, &addr, self.common.protocol)?;
        socket.set_reuse_address()?;
        self.common.apply(&socket, addr.is_ipv6())?;
        if let (SocketAddr::V6(_), Some(only)) = (addr, self.only_v6) {
            socket.set_only_v6(only)?;
        }
        socket.bind(addr)?;
        socket.listen(self.backlog.into())?;
        let inline_on_accept =
            self.common.out_of_band_inline && self.common.protocol == Protocol::Mptcp;
        Ok(TcpListener {
            socket,
            inline_on_accept,
            priority: self.common.settings.priority,
        })
    }
}

/// A TCP socket that listens for connections; closed when dropped.
///
/// See the [module](super) for an example.
pub struct TcpListener {
    socket: Socket,
    /// Set where the connections of some peers cannot inherit `SO_OOBINLINE`.
    inline_on_accept: bool,
    /// What connections do not inherit, and are given when they are accepted.
    priority: Option<u32>,
}

impl TcpListener {
    /// Options that start from the defaults. Any context.
    pub fn options() -> ListenOptions {
        ListenOptions {
            common: Options::default(),
            backlog: 128,
            only_v6: None,
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
        self.accept_with(Blocking::Yes)
    }

    /// Like [`accept`](Self::accept), but `EAGAIN` where that would wait.
    ///
    /// May sleep, but not for a connection.
    pub fn try_accept(&self) -> Result<(TcpStream, SocketAddr)> {
        self.accept_with(Blocking::No)
    }

    fn accept_with(&self, blocking: Blocking) -> Result<(TcpStream, SocketAddr)> {
        context::may_sleep()?;
        let stream = TcpStream::from_socket(self.socket.accept(blocking)?);
        if self.inline_on_accept {
            // Fails where MPTCP is spoken, which needs it not.
            let _ = stream.set_out_of_band_inline(true);
        }
        if let Some(priority) = self.priority {
            stream.socket.set_priority(priority)?;
        }
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
