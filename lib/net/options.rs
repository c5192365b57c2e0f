// SPDX-License-Identifier: GPL-2.0

//! Options that listeners and clients have in common.

use super::{
    device::Device,
    keepalive::Keepalive,
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
}

impl Options {
    pub(super) fn apply(&self, socket: &Socket) -> Result {
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
        match &self.device {
            Some(device) => socket.bind_to_device(device),
            None => Ok(()),
        }
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
        writeln!(f, "{:<24} {user_timeout}", "user_timeout_ms")
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
