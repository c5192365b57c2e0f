// SPDX-License-Identifier: GPL-2.0

//! Options that listeners and clients have in common.

use super::{
    device::Device,
    keepalive::Keepalive,
    settings::{
        check,
        Refusal,
        Settings,
        Value, //
    },
    socket::{
        Protocol,
        Socket, //
    }, //
};
use crate::util::compat::millis_ceil;
use core::fmt::{
    Formatter,
    Result as Written, //
};
use kernel::{
    prelude::*,
    str::BStr,
    time::Delta, //
};

/// Options of every socket, which are set before it is bound.
#[derive(Clone, Copy, Default)]
pub(super) struct Options {
    pub(super) protocol: Protocol,
    pub(super) nodelay: bool,
    pub(super) out_of_band_inline: bool,
    pub(super) reuse_port: bool,
    pub(super) keepalive: Option<Keepalive>,
    pub(super) user_timeout: Option<Delta>,
    pub(super) send_buffer: Option<u32>,
    pub(super) receive_buffer: Option<u32>,
    pub(super) device: Option<Device>,
    pub(super) settings: Settings,
}

impl Options {
    /// Names the first option that is out of its range.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        const INT: i64 = i32::MAX as i64;

        if let Some(timeout) = self.user_timeout {
            check("user_timeout_ms", millis_ceil(timeout), 1, INT)?;
        }
        for (setting, size) in [
            ("send_buffer_size", self.send_buffer),
            ("receive_buffer_size", self.receive_buffer),
        ] {
            if let Some(size) = size {
                check(setting, size.into(), 1, INT / 2)?;
            }
        }
        self.settings.check()
    }

    /// Sets all of a socket for IPv6, or not.
    pub(super) fn apply(&self, socket: &Socket, is_v6: bool) -> Result<(), Refusal> {
        self.check()?;
        self.apply_own(socket)?;
        if let Some(device) = &self.device {
            socket
                .bind_to_device(device)
                .map_err(|error| Refusal::BySetting {
                    setting: "device",
                    value: Value::name(device.as_bytes()),
                    error,
                })?;
        }
        self.settings.apply(socket, is_v6)
    }

    fn apply_own(&self, socket: &Socket) -> Result {
        if self.nodelay {
            socket.set_nodelay(true)?;
        }
        // MPTCP lacks the option, and leaves every byte in its place. What its listener accepts of peers
        // that speak TCP is set then.
        if self.out_of_band_inline && self.protocol == Protocol::Tcp {
            socket.set_out_of_band_inline(true)?;
        }
        if self.reuse_port {
            socket.set_reuse_port()?;
        }
        if self.keepalive.is_some() {
            socket.set_keepalive(self.keepalive)?;
        }
        if self.user_timeout.is_some() {
            socket.set_user_timeout(self.user_timeout)?;
        }
        if let Some(bytes) = self.send_buffer {
            socket.set_send_buffer(bytes)?;
        }
        if let Some(bytes) = self.receive_buffer {
            socket.set_receive_buffer(bytes)?;
        }
        Ok(())
    }

    /// Writes a line for each option; 0 stands for what the kernel decides by itself.
    pub(super) fn show(&self, f: &mut Formatter<'_>) -> Written {
        let Self {
            protocol,
            nodelay,
            out_of_band_inline,
            reuse_port,
            keepalive,
            user_timeout,
            send_buffer,
            receive_buffer,
            device,
            settings,
        } = self;
        let device = device
            .as_ref()
            .map_or(BStr::from_bytes(b"any"), Device::display);
        f.write_fmt(fmt!("{:<24} {}\n", "device", device))?;
        let keep = |value: fn(&Keepalive) -> u32| keepalive.as_ref().map_or(0, value);
        for (name, value) in [
            ("mptcp", u32::from(*protocol == Protocol::Mptcp)),
            ("nodelay", u32::from(*nodelay)),
            ("out_of_band_inline", u32::from(*out_of_band_inline)),
            ("reuse_port", u32::from(*reuse_port)),
            ("keepalive_idle_s", keep(|keep| keep.idle().into())),
            ("keepalive_interval_s", keep(|keep| keep.interval().into())),
            ("keepalive_probes", keep(|keep| keep.probes().into())),
            ("send_buffer", send_buffer.unwrap_or(0)),
            ("receive_buffer", receive_buffer.unwrap_or(0)),
        ] {
            writeln!(f, "{name:<24} {value}")?;
        }
        let user_timeout = user_timeout.map_or(0, millis_ceil);
        writeln!(f, "{:<24} {user_timeout}", "user_timeout_ms")?;
        settings.show(f)
    }
}

/// The methods that [`ListenOptions`](super::ListenOptions) and
/// [`ConnectOptions`](super::ConnectOptions) have in common.
macro_rules! common_options {
    () => {
        /// Sets whether small segments are sent at once; see
        /// [`TcpStream::set_nodelay`](super::TcpStream::set_nodelay). Not by default.
        pub fn nodelay(mut self, nodelay: bool) -> Self {
            self.common.nodelay = nodelay;
            self
        }

        /// Sets whether urgent bytes stay in their place among the others; see
        /// [`TcpStream::set_out_of_band_inline`](super::TcpStream::set_out_of_band_inline). Not by
        /// default, but for the connections of a [server](crate::KernelTcpServer). Where MPTCP is
        /// spoken, they always stay there.
        pub fn out_of_band_inline(mut self, inline: bool) -> Self {
            self.common.out_of_band_inline = inline;
            self
        }

        /// Asks silent peers whether they are still there; not by default. See
        /// [`TcpStream::set_keepalive`](super::TcpStream::set_keepalive).
        pub fn keepalive(mut self, keepalive: Keepalive) -> Self {
            self.common.keepalive = Some(keepalive);
            self
        }

        /// Sets how long sent bytes may stay unacknowledged; see
        /// [`TcpStream::set_user_timeout`](super::TcpStream::set_user_timeout). By default as long
        /// as the retransmissions of the kernel take, a quarter of an hour or so.
        pub fn user_timeout(mut self, timeout: Delta) -> Self {
            self.common.user_timeout = Some(timeout);
            self
        }

        /// Sets how many bytes the kernel keeps of what is to be sent; see
        /// [`TcpStream::set_send_buffer_size`](super::TcpStream::set_send_buffer_size). By default
        /// the kernel finds a size by itself (sysctl `net.ipv4.tcp_wmem`).
        pub fn send_buffer_size(mut self, bytes: u32) -> Self {
            self.common.send_buffer = Some(bytes);
            self
        }

        /// Sets how many bytes the kernel keeps of what was received and is not read yet; see
        /// [`TcpStream::set_receive_buffer_size`](super::TcpStream::set_receive_buffer_size). By
        /// default the kernel finds a size by itself (sysctl `net.ipv4.tcp_rmem`).
        ///
        /// Set here, before there is a connection, it bounds the window that the peer is offered
        /// from the start.
        pub fn receive_buffer_size(mut self, bytes: u32) -> Self {
            self.common.receive_buffer = Some(bytes);
            self
        }

        /// Binds to an address that the machine does not have, or not yet (`IP_FREEBIND`): one that moves
        /// between machines (VRRP), or that is given to the device later, as when a machine boots. Not by
        /// default.
        pub fn freebind(mut self, freebind: bool) -> Self {
            self.common.settings.freebind = freebind;
            self
        }

        /// Binds to addresses of other machines, to stand in for them (`IP_TRANSPARENT`); the routes and the
        /// firewall have to bring their packets here. Not by default.
        pub fn transparent(mut self, transparent: bool) -> Self {
            self.common.settings.transparent = transparent;
            self
        }

        /// Marks all packets that are sent, for the firewall and the choice of routes (`SO_MARK`).
        pub fn mark(mut self, mark: u32) -> Self {
            self.common.settings.mark = Some(mark);
            self
        }

        /// Sets the differentiated services code point of what is sent (`IP_TOS`, `IPV6_TCLASS`;
        /// RFC 2474): 0 to 63.
        pub fn dscp(mut self, dscp: u8) -> Self {
            self.common.settings.dscp = Some(dscp);
            self
        }

        /// Sets the priority of what is sent, for queueing disciplines (`SO_PRIORITY`). By default it follows
        /// from the DSCP.
        pub fn priority(mut self, priority: u32) -> Self {
            self.common.settings.priority = Some(priority);
            self
        }

        /// Chooses the congestion control (`TCP_CONGESTION`); by default that of the sysctl
        /// `net.ipv4.tcp_congestion_control`.
        pub fn congestion_control(mut self, name: CongestionControl) -> Self {
            self.common.settings.congestion_control = Some(name);
            self
        }

        /// Sets how many bytes may wait in the kernel unsent before there is no room for more
        /// (`TCP_NOTSENT_LOWAT`): 1 to 2^31 - 1. What is written late can still be changed until then.
        /// By default as the sysctl `net.ipv4.tcp_notsent_lowat` says.
        pub fn notsent_lowat(mut self, bytes: u32) -> Self {
            self.common.settings.notsent_lowat = Some(bytes);
            self
        }

        /// Sets the largest segment that is sent and announced (`TCP_MAXSEG`; RFC 9293, section 3.7.1): 88 to
        /// 32767 bytes. By default as the devices and routes allow.
        pub fn max_segment(mut self, bytes: u16) -> Self {
            self.common.settings.max_segment = Some(bytes);
            self
        }

        /// Sets the least time to live with which a packet is taken (`IP_MINTTL`, `IPV6_MINHOPCOUNT`; RFC 5082): 1
        /// to 255. With 255, only packets of neighbours are taken, which have to send
        /// with 255.
        pub fn min_ttl(mut self, ttl: u8) -> Self {
            self.common.settings.min_ttl = Some(ttl);
            self
        }

        /// Sets how many bytes a second a connection sends at most (`SO_MAX_PACING_RATE`): 1 to 2^63 - 2.
        pub fn max_pacing_rate(mut self, bytes_per_second: u64) -> Self {
            self.common.settings.max_pacing_rate = Some(bytes_per_second);
            self
        }

        /// Sets an option that has no method here, after those that have; eight of them at most. See
        /// [`SocketOption`] for those that can be set: others are `ENOPROTOOPT`.
        pub fn socket_option(mut self, option: SocketOption) -> Self {
            self.common.settings.add(option);
            self
        }

        /// Only what comes and goes by that network device (`SO_BINDTODEVICE`).
        pub fn device(mut self, device: Device) -> Self {
            self.common.device = Some(device);
            self
        }

        /// Speaks Multipath TCP (RFC 8684) with peers that do, and TCP with those that do not.
        ///
        /// Where the kernel lacks it, there will be an error: `EPROTONOSUPPORT` when it was built
        /// without (`CONFIG_MPTCP`), `ENOPROTOOPT` when the sysctl `net.mptcp.enabled` is off.
        pub fn mptcp(mut self, mptcp: bool) -> Self {
            self.common.protocol = if mptcp {
                Protocol::Mptcp
            } else {
                Protocol::Tcp
            };
            self
        }
    };
}

pub(super) use common_options;
