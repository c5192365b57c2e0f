// SPDX-License-Identifier: GPL-2.0

//! The builder of a server.

use super::{
    config::Config,
    factory,
    limits::{
        Limits,
        PeerPrefixes, //
    },
    listening::Listening,
    KernelTcpServer, //
};
use crate::{
    buffer::BufferSize,
    connection::{
        ConnConfig,
        Timeouts, //
    },
    executor::Executor,
    handler::Handler,
    module::registry,
    net::{
        CongestionControl,
        Device,
        Keepalive,
        ListenOptions,
        Namespace,
        Refusal,
        ScopedAddr,
        SocketOption,
        TcpListener, //
    },
    util::name::Name, //
};
use core::net::SocketAddr;
use kernel::{
    prelude::*,
    sync::Arc,
    time::Delta, //
};

/// Settings of a server that is about to start; made by [`KernelTcpServer::builder`].
///
/// All have a default:
///
/// | setting | default |
/// |---|---|
/// | [`listen`](Self::listen) | 127.0.0.1, a port that the kernel chooses |
/// | [`executor`](Self::executor) | [`Executor::EventLoop`] |
/// | [`namespace`](Self::namespace) | that of the task that starts the server |
/// | [`backlog`](Self::backlog) | 128 connections |
/// | [`reuse_port`](Self::reuse_port), [`mptcp`](Self::mptcp) | no |
/// | [`only_v6`](Self::only_v6), [`send_buffer_size`](Self::send_buffer_size), [`receive_buffer_size`](Self::receive_buffer_size) | as the kernel's sysctls say |
/// | [`device`](Self::device) | the VRF of the process that starts the server, if it has one |
/// | [`keepalive`](Self::keepalive), [`user_timeout`](Self::user_timeout) | none |
/// | [`freebind`](Self::freebind), [`transparent`](Self::transparent), [`fast_open`](Self::fast_open), [`defer_accept`](Self::defer_accept) | no |
/// | [`mark`](Self::mark), [`dscp`](Self::dscp), [`priority`](Self::priority) | 0 |
/// | [`congestion_control`](Self::congestion_control), [`notsent_lowat`](Self::notsent_lowat) | as the kernel's sysctls say |
/// | [`max_segment`](Self::max_segment), [`min_ttl`](Self::min_ttl), [`max_pacing_rate`](Self::max_pacing_rate) | no limit |
/// | [`incoming_cpu`](Self::incoming_cpu), [`socket_option`](Self::socket_option) | none |
/// | [`input_buffer`](Self::input_buffer), [`output_buffer`](Self::output_buffer) | 64 KiB |
/// | [`max_connections`](Self::max_connections) | 10,000 |
/// | [`max_per_peer`](Self::max_per_peer) | no limit |
/// | [`peer_prefix_v4`](Self::peer_prefix_v4), [`peer_prefix_v6`](Self::peer_prefix_v6) | 32 and 64 bits |
/// | [`idle_timeout`](Self::idle_timeout), [`receive_timeout`](Self::receive_timeout), [`send_timeout`](Self::send_timeout) | none |
/// | [`close_timeout`](Self::close_timeout) | 60 s |
/// | [`drain`](Self::drain) | 5 s |
///
/// They may be made and set in any context; a setting out of its range is found by
/// [`start`](Self::start), which sleeps. Sizes are in bytes.
///
/// # Examples
///
/// ```
/// use core::net::{Ipv4Addr, SocketAddr};
/// use kernel::{prelude::*, time::Delta};
/// use ktcp_server::{BufferSize, Executor, Handler, KernelTcpServer};
///
/// /// Serves this machine alone: a hundred at most, of whom none is silent for a minute.
/// fn serve<H: Handler>(module: &'static ThisModule, handler: H) -> Result<KernelTcpServer> {
///     KernelTcpServer::builder(c"talk")
///         .listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
///         .executor(Executor::Workqueue)
///         .max_connections(100)
///         .input_buffer(BufferSize::of::<4096>())
///         .idle_timeout(Delta::from_secs(60))
///         .start(module, handler)
/// }
/// # use ktcp_server::{Input, Next, Output, Peer};
/// # struct Deaf;
/// # impl Handler for Deaf {
/// #     type Session = ();
/// #     fn open(&self, _: &Peer<'_>) -> Result { Ok(()) }
/// #     fn receive(&self, _: &mut (), _: &mut Input<'_>, _: &mut Output<'_>) -> Result<Next> {
/// #         Ok(Next::Close)
/// #     }
/// # }
/// # let server = serve(&crate::THIS_MODULE, Deaf)?;
/// # assert_eq!(server.statistics().open, 0);
/// # server.shutdown(Delta::from_secs(1));
/// # Ok::<(), Error>(())
/// ```
#[must_use = "a server runs once it is started"]
pub struct Builder {
    config: Config,
    addr: ScopedAddr,
    port: u16,
    namespace: Option<Namespace>,
    options: ListenOptions,
}

impl Builder {
    fn new(name: &CStr) -> Self {
        Self {
            config: Config {
                name: Name::new(name),
                module: Name::new(c""),
                executor: Executor::EventLoop,
                limits: Limits {
                    connections: 10_000,
                    per_peer: None,
                    prefixes: PeerPrefixes::default(),
                },
                conn: ConnConfig {
                    input: BufferSize::of::<{ 64 << 10 }>(),
                    output: BufferSize::of::<{ 64 << 10 }>(),
                    timeouts: Timeouts::default(),
                    close_timeout: Delta::from_secs(60),
                },
                drain: Delta::from_secs(5),
            },
            addr: ScopedAddr::LOCALHOST,
            port: 0,
            namespace: None,
            options: TcpListener::options()
                // What a handler has to say is gathered before it is sent: waiting for more would
                // only add the peer's delay in acknowledging.
                .nodelay(true)
                // A handler has no other way to receive them.
                .out_of_band_inline(true),
        }
    }

    /// The address and port to listen on.
    pub fn listen(self, addr: SocketAddr) -> Self {
        self.listen_at(addr.into(), addr.port())
    }

    /// The address and port to listen on, where a link-local address may come with the name of its
    /// link (`fe80::1%eth0`), which is looked up by [`start`](Self::start).
    pub fn listen_at(mut self, addr: ScopedAddr, port: u16) -> Self {
        (self.addr, self.port) = (addr, port);
        self
    }

    /// Sets how connections are run.
    pub fn executor(mut self, executor: Executor) -> Self {
        self.config.executor = executor;
        self
    }

    /// Sets how many connections may wait to be accepted.
    pub fn backlog(mut self, connections: u16) -> Self {
        self.options = self.options.backlog(connections);
        self
    }

    /// The network namespace to listen in.
    pub fn namespace(mut self, namespace: Namespace) -> Self {
        self.namespace = Some(namespace);
        self
    }

    /// Sets whether several servers, of this kernel or of root, may share the address; see
    /// [`ListenOptions::reuse_port`].
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.options = self.options.reuse_port(reuse);
        self
    }

    /// Sets whether a server on the unspecified IPv6 address is for IPv6 alone; see
    /// [`ListenOptions::only_v6`].
    pub fn only_v6(mut self, only: bool) -> Self {
        self.options = self.options.only_v6(only);
        self
    }

    /// Serves only what comes by that network device, or by those of that VRF.
    ///
    /// Where neither this nor a [namespace](Self::namespace) is set, a server that a process starts
    /// serves the VRF of that process, as `ip vrf exec` sets it, and a line in the log says so.
    pub fn device(mut self, device: Device) -> Self {
        self.options = self.options.device(device);
        self
    }

    /// Speaks Multipath TCP with peers that do; see
    /// [`ListenOptions::mptcp`].
    pub fn mptcp(mut self, mptcp: bool) -> Self {
        self.options = self.options.mptcp(mptcp);
        self
    }

    /// Listens on an address that the machine does not have, or not yet; see
    /// [`ListenOptions::freebind`].
    pub fn freebind(mut self, freebind: bool) -> Self {
        self.options = self.options.freebind(freebind);
        self
    }

    /// Listens on addresses of other machines, to stand in for them; see
    /// [`ListenOptions::transparent`].
    pub fn transparent(mut self, transparent: bool) -> Self {
        self.options = self.options.transparent(transparent);
        self
    }

    /// Marks all packets that are sent; see
    /// [`ListenOptions::mark`].
    pub fn mark(mut self, mark: u32) -> Self {
        self.options = self.options.mark(mark);
        self
    }

    /// Sets the differentiated services code point of what is sent; see
    /// [`ListenOptions::dscp`].
    pub fn dscp(mut self, dscp: u8) -> Self {
        self.options = self.options.dscp(dscp);
        self
    }

    /// Sets the priority of what is sent; see
    /// [`ListenOptions::priority`].
    pub fn priority(mut self, priority: u32) -> Self {
        self.options = self.options.priority(priority);
        self
    }

    /// Chooses the congestion control; see
    /// [`ListenOptions::congestion_control`].
    pub fn congestion_control(mut self, name: CongestionControl) -> Self {
        self.options = self.options.congestion_control(name);
        self
    }

    /// Takes bytes that come with the first packet of a connection; see
    /// [`ListenOptions::fast_open`].
    pub fn fast_open(mut self, pending: u32) -> Self {
        self.options = self.options.fast_open(pending);
        self
    }

    /// Accepts a connection only when its first bytes have come; see
    /// [`ListenOptions::defer_accept`].
    pub fn defer_accept(mut self, seconds: u32) -> Self {
        self.options = self.options.defer_accept(seconds);
        self
    }

    /// Sets how many bytes may wait in the kernel unsent; see
    /// [`ListenOptions::notsent_lowat`].
    pub fn notsent_lowat(mut self, bytes: u32) -> Self {
        self.options = self.options.notsent_lowat(bytes);
        self
    }

    /// Sets the largest segment; see
    /// [`ListenOptions::max_segment`].
    pub fn max_segment(mut self, bytes: u16) -> Self {
        self.options = self.options.max_segment(bytes);
        self
    }

    /// Sets the least time to live with which a packet is taken; see
    /// [`ListenOptions::min_ttl`].
    pub fn min_ttl(mut self, ttl: u8) -> Self {
        self.options = self.options.min_ttl(ttl);
        self
    }

    /// Prefers this server, among those that share its port, for what arrives on that CPU; see
    /// [`ListenOptions::incoming_cpu`].
    pub fn incoming_cpu(mut self, cpu: u32) -> Self {
        self.options = self.options.incoming_cpu(cpu);
        self
    }

    /// Sets how fast a connection sends at most; see
    /// [`ListenOptions::max_pacing_rate`].
    pub fn max_pacing_rate(mut self, bytes_per_second: u64) -> Self {
        self.options = self.options.max_pacing_rate(bytes_per_second);
        self
    }

    /// Sets an option that has no method here; see [`SocketOption`].
    pub fn socket_option(mut self, option: SocketOption) -> Self {
        self.options = self.options.socket_option(option);
        self
    }

    /// Asks silent peers whether they are still there, and resets connections with those that are
    /// not.
    pub fn keepalive(mut self, keepalive: Keepalive) -> Self {
        self.options = self.options.keepalive(keepalive);
        self
    }

    /// Sets how long sent bytes may stay unacknowledged, and how long a peer may take none, before its
    /// connection is reset; see
    /// [`ListenOptions::user_timeout`].
    /// The kernel counts this for itself,
    /// and knows more of the peer than [`send_timeout`](Self::send_timeout) does: that one runs from
    /// the last byte that the kernel took.
    pub fn user_timeout(mut self, timeout: Delta) -> Self {
        self.options = self.options.user_timeout(timeout);
        self
    }

    /// Sets how many bytes the kernel keeps for a connection of what its peer has not yet taken; see
    /// [`ListenOptions::send_buffer_size`].
    pub fn send_buffer_size(mut self, bytes: u32) -> Self {
        self.options = self.options.send_buffer_size(bytes);
        self
    }

    /// Sets how many bytes the kernel keeps for a connection of what the server has not yet received;
    /// see [`ListenOptions::receive_buffer_size`].
    pub fn receive_buffer_size(mut self, bytes: u32) -> Self {
        self.options = self.options.receive_buffer_size(bytes);
        self
    }

    /// Sets how much a connection holds that it has received and its handler has not consumed, and so
    /// how long a message can be.
    pub fn input_buffer(mut self, size: BufferSize) -> Self {
        self.config.conn.input = size;
        self
    }

    /// Sets how much a handler can put into its [`Output`](crate::Output) before it must wait for it to
    /// be sent.
    pub fn output_buffer(mut self, size: BufferSize) -> Self {
        self.config.conn.output = size;
        self
    }

    /// Sets how many connections there may be at once. One more is reset, and counted.
    pub fn max_connections(mut self, connections: u32) -> Self {
        self.config.limits.connections = connections as usize;
        self
    }

    /// Sets how many connections there may be at once with one peer. One more is reset, and counted.
    ///
    /// A peer is an IPv4 address, or 64 bits of an IPv6 address, unless
    /// [`peer_prefix_v4`](Self::peer_prefix_v4) or [`peer_prefix_v6`](Self::peer_prefix_v6) says
    /// otherwise. An address of IPv4 that is mapped into IPv6 is one of IPv4.
    pub fn max_per_peer(mut self, connections: u32) -> Self {
        self.config.limits.per_peer = Some(connections as usize);
        self
    }

    /// Sets how many leading bits of an IPv4 address are one peer for [`max_per_peer`](Self::max_per_peer):
    /// 1 to 32. With 24, all of 192.0.2.0/24 together have that many connections.
    pub fn peer_prefix_v4(mut self, bits: u8) -> Self {
        self.config.limits.prefixes.v4 = bits;
        self
    }

    /// Sets how many leading bits of an IPv6 address are one peer for [`max_per_peer`](Self::max_per_peer):
    /// 1 to 128.
    ///
    /// A host may use all the addresses of its network, which are 2^64 as a rule, so that with more
    /// than 64 it has no limit. A provider gives a customer 2^8 such networks and more: 56 or 48
    /// counts those together. Addresses of the link (fe80::/64) are one peer unless this is more than
    /// 64.
    pub fn peer_prefix_v6(mut self, bits: u8) -> Self {
        self.config.limits.prefixes.v6 = bits;
        self
    }

    /// Closes a connection on which no byte has moved for that long. Like the other timeouts, it is
    /// kept to a quarter of the shortest of the three, but not finer than 20 ms.
    pub fn idle_timeout(mut self, timeout: Delta) -> Self {
        self.config.conn.timeouts.idle = Some(timeout);
        self
    }

    /// Resets a connection whose handler has waited that long for the rest of a message: input is
    /// there, and the handler has consumed nothing of it.
    pub fn receive_timeout(mut self, timeout: Delta) -> Self {
        self.config.conn.timeouts.receive = Some(timeout);
        self
    }

    /// Resets a connection whose peer has not taken a byte of what is to be sent for that long.
    pub fn send_timeout(mut self, timeout: Delta) -> Self {
        self.config.conn.timeouts.send = Some(timeout);
        self
    }

    /// Sets how long a peer may acknowledge nothing of what is left when a connection ends in order, before
    /// that is reset: 1 ms to a day.
    ///
    /// Until the peer has acknowledged everything the connection counts as
    /// [closing](crate::Statistics::closing), and as one of those that the server may have. It holds no
    /// buffer and no session then, only what the socket has.
    ///
    /// MPTCP has no such timeout, and the [idle timeout](Self::idle_timeout) limits that. With neither, the
    /// server lets go of the connection at once, and MPTCP sends what is left for as long as it likes
    /// (`net.mptcp.close_timeout`).
    pub fn close_timeout(mut self, timeout: Delta) -> Self {
        self.config.conn.close_timeout = timeout;
        self
    }

    /// Sets how long dropping the server waits until peers have acknowledged what is still to be sent to
    /// them, before it resets their connections.
    pub fn drain(mut self, at_most: Delta) -> Self {
        self.config.drain = at_most;
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    ///
    /// Those of [`ListenOptions::bind`], such as `EADDRINUSE`;
    /// `EINVAL` for a setting out of its range, which a line in the log names, and when `module` is
    /// not the one that calls this; `ESHUTDOWN` when it is about to go; `ENOMEM`, for which
    /// the kernel also says `ENFILE` or `ENOBUFS` (no memory for a socket), `EADDRINUSE` (none to
    /// note that the port is in use) and `EAGAIN` (none for a thread). Nothing is left behind then,
    /// and the handler is dropped.
    ///
    /// May sleep.
    pub fn start<H: Handler>(
        self,
        module: &'static ThisModule,
        handler: H,
    ) -> Result<KernelTcpServer> {
        registry::check_owner(module, &self.config.name, factory::code_of::<H>())?;
        self.start_unchecked(module, handler)
    }

    /// Like [`start`](Self::start), for a caller that waits for the end of the server before its module
    /// could go.
    pub(crate) fn start_unchecked<H: Handler>(
        mut self,
        module: &'static ThisModule,
        handler: H,
    ) -> Result<KernelTcpServer> {
        self.config.check()?;
        self.config.module = registry::name_of(module);
        let name = self.config.name;
        let name: &CStr = &name;
        let listening = listen(name, self.namespace, self.options, self.addr, self.port)?;

        KernelTcpServer::start(module, self.config, listening, handler)
    }
}

/// Listens for the server `name`; where no namespace was set, in that of the calling task and by the
/// device that the task's own sockets are bound to. An error leaves a line in the log.
fn listen(
    name: &CStr,
    namespace: Option<Namespace>,
    mut options: ListenOptions,
    scoped: ScopedAddr,
    port: u16,
) -> Result<Arc<Listening>> {
    let by_loader = namespace.is_none();
    let namespace = match namespace {
        Some(namespace) => namespace,
        None => Namespace::current()?,
    };
    let addr = scoped.resolve(port, &namespace).inspect_err(|error| {
        pr_err!("{name}: there is no device for {scoped:?}: {error:?}\n");
    })?;
    // The devices of another namespace are others.
    if by_loader && !options.has_device() {
        let device =
            Device::of_current(&addr).inspect_err(|&error| tell(name, addr, &error.into()))?;
        if let Some(device) = device {
            let shown = device.display();
            pr_info!("{name}: serves the device {shown} only, as its loader does\n");
            options = options.device(device);
        }
    }
    Listening::new(namespace, options, addr)
        .inspect_err(|refusal| tell(name, addr, refusal))
        .map_err(Error::from)
}

/// Says why the server `name` cannot listen on `addr`.
fn tell(name: &CStr, addr: SocketAddr, refusal: &Refusal) {
    match *refusal {
        Refusal::OutOfRange {
            setting,
            value,
            least,
            most,
        } => pr_err!("{name}: {setting} is {value}, and must be {least} to {most}\n"),
        Refusal::BySetting {
            setting,
            value,
            error,
        } => pr_err!("{name}: the kernel refuses {setting}={value:?}: {error:?}\n"),
        Refusal::Failed(error) => pr_err!("{name}: cannot listen on {addr:?}: {error:?}\n"),
    }
}

impl KernelTcpServer {
    /// Settings for a server of that name, which appears in the names of its threads and in the
    /// log: 1 to 63 bytes, which are copied. Any context.
    pub fn builder(name: &CStr) -> Builder {
        Builder::new(name)
    }
}
