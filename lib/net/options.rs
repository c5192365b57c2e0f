// SPDX-License-Identifier: GPL-2.0

//! Options that listeners and clients have in common.

use super::socket::Socket;
use kernel::{
    prelude::*,
    time::Delta, //
};

/// Times at which a silent peer is asked whether it is still there, and when it is given up
/// (RFC 9293, section 3.8.4).
///
/// A dead peer is noticed after `idle + interval * probes` seconds; the connection then fails with
/// `ETIMEDOUT`.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use ktcp_server::net::Keepalive;
///
/// // A peer that has vanished is noticed after two minutes.
/// let keepalive = Keepalive::new(60, 10, 6)?;
/// assert_eq!(keepalive.probes(), 6);
/// assert_eq!(Keepalive::new(60, 0, 6), Err(EINVAL));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    idle: u16,
    interval: u16,
    probes: u8,
}

impl Keepalive {
    /// The most seconds that the kernel takes.
    pub const MAX_SECONDS: u16 = 32767;
    /// The most probes that the kernel takes.
    pub const MAX_PROBES: u8 = 127;

    /// The first probe is sent after `idle` seconds of silence, further ones every `interval`
    /// seconds; after `probes` of them without an answer the peer is given up.
    ///
    /// # Errors
    ///
    /// `EINVAL` unless both times are 1 to [`MAX_SECONDS`](Self::MAX_SECONDS) and `probes` is 1 to
    /// [`MAX_PROBES`](Self::MAX_PROBES).
    ///
    /// Any context.
    pub const fn new(idle: u16, interval: u16, probes: u8) -> Result<Self> {
        if idle == 0
            || idle > Self::MAX_SECONDS
            || interval == 0
            || interval > Self::MAX_SECONDS
            || probes == 0
            || probes > Self::MAX_PROBES
        {
            return Err(EINVAL);
        }
        Ok(Self {
            idle,
            interval,
            probes,
        })
    }

    /// Seconds of silence before the first probe. Any context.
    pub const fn idle(&self) -> u16 {
        self.idle
    }

    /// Seconds between probes. Any context.
    pub const fn interval(&self) -> u16 {
        self.interval
    }

    /// Returns how many probes stay unanswered before the peer is given up. Any context.
    pub const fn probes(&self) -> u8 {
        self.probes
    }
}

/// The name of a network device, such as `eth0`.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use ktcp_server::net::{Device, TcpListener};
///
/// let options = TcpListener::options().device(Device::new(c"lo")?);
/// assert_eq!(Device::new(c"a/b"), Err(EINVAL));
/// # Ok::<(), Error>(())
/// ```
///
/// # Invariants
///
/// The first byte is not NUL, the last one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device([u8; Self::SIZE]);

impl Device {
    /// `IFNAMSIZ` of [`include/uapi/linux/if.h`](srctree/include/uapi/linux/if.h).
    const SIZE: usize = 16;

    /// A name of 1 to 15 bytes.
    ///
    /// # Errors
    ///
    /// `EINVAL` for another length, and for a name that no device can have: `.`, `..`, and those
    /// with a slash, a colon or a blank in it. Whether there is such a device is only seen when a
    /// socket is bound to it.
    ///
    /// Any context.
    pub fn new(name: &CStr) -> Result<Self> {
        let name = name.to_bytes();
        let strange = |byte: &u8| matches!(byte, b'/' | b':') || byte.is_ascii_whitespace();
        if name.is_empty()
            || name.len() >= Self::SIZE
            || name == b"."
            || name == b".."
            || name.iter().any(strange)
        {
            return Err(EINVAL);
        }
        // INVARIANT: The name is not empty, holds no NUL, and is shorter than the array.
        let mut bytes = [0; Self::SIZE];
        bytes[..name.len()].copy_from_slice(name);
        Ok(Self(bytes))
    }

    /// The name, without a NUL.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        let len = self.0.iter().position(|&byte| byte == 0);
        &self.0[..len.unwrap_or(Self::SIZE)]
    }
}

/// The protocol of a socket.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Protocol {
    #[default]
    Tcp,
    Mptcp,
}

/// Options of every socket, which are set before it is bound.
#[derive(Clone, Copy, Default)]
pub(super) struct Options {
    pub(super) protocol: Protocol,
    pub(super) nodelay: bool,
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
