// SPDX-License-Identifier: GPL-2.0

//! IP addresses with the link that they are of.

use super::{
    device::Device,
    namespace::Namespace, //
};
use crate::shim;
use core::{
    fmt::{
        Debug,
        Display,
        Formatter,
        Result as Written, //
    },
    net::{
        IpAddr,
        Ipv4Addr,
        SocketAddr,
        SocketAddrV6, //
    },
    str::FromStr, //
};
use kernel::prelude::*;

/// The link of a link-local address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// Not said.
    None,
    /// The device with that number, which is not 0.
    Index(u32),
    /// The device with that name.
    Device(Device),
}

/// An IP address and, if it is one of IPv6 that is link-local, the link that it is of: `fe80::1%eth0`, or
/// `fe80::1%2` (RFC 4007, section 11).
///
/// Such an address means nothing without its link. The name of a device is looked up when a socket is bound
/// to the address, in the network namespace of the socket.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use ktcp_server::net::ScopedAddr;
///
/// let addr: ScopedAddr = "fe80::1%eth0".parse()?;
/// assert!(addr.ip().is_ipv6());
/// assert_eq!("192.0.2.1%eth0".parse::<ScopedAddr>(), Err(EINVAL));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ScopedAddr {
    ip: IpAddr,
    scope: Scope,
}

/// Returns the number of a device, or `ENODEV`. Any context.
fn device_index(namespace: &Namespace, device: &Device) -> Result<u32> {
    // SAFETY: The namespace is held, and the name ends with a NUL.
    match unsafe { shim::ktcp_device_index(namespace.as_ptr(), device.as_ptr()) } {
        0 => Err(ENODEV),
        index => Ok(index),
    }
}

impl ScopedAddr {
    /// The loopback address of IPv4.
    pub const LOCALHOST: Self = Self::new(IpAddr::V4(Ipv4Addr::LOCALHOST));

    /// An address without a link. Any context.
    pub const fn new(ip: IpAddr) -> Self {
        Self {
            ip,
            scope: Scope::None,
        }
    }

    /// The address without its link. Any context.
    pub const fn ip(&self) -> IpAddr {
        self.ip
    }

    /// The address with a port; `ENODEV` when the namespace has no such device. Any context.
    pub(crate) fn resolve(&self, port: u16, namespace: &Namespace) -> Result<SocketAddr> {
        let index = match &self.scope {
            Scope::None => 0,
            Scope::Index(index) => *index,
            Scope::Device(device) => device_index(namespace, device)?,
        };
        Ok(match self.ip {
            IpAddr::V4(_) => SocketAddr::new(self.ip, port),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, index).into(),
        })
    }
}

/// The address without its port; its link is the scope of the address.
impl From<SocketAddr> for ScopedAddr {
    fn from(addr: SocketAddr) -> Self {
        let scope = match addr {
            SocketAddr::V6(addr) if addr.scope_id() != 0 => Scope::Index(addr.scope_id()),
            _ => Scope::None,
        };
        Self {
            ip: addr.ip(),
            scope,
        }
    }
}

impl From<IpAddr> for ScopedAddr {
    fn from(ip: IpAddr) -> Self {
        Self::new(ip)
    }
}

/// `EINVAL` for what is no address, and for a link behind one that is not link-local. Any context.
impl FromStr for ScopedAddr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (ip, scope) = match text.split_once('%') {
            Some((ip, scope)) => (ip, Some(scope)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| EINVAL)?;
        let Some(scope) = scope else {
            return Ok(Self::new(ip));
        };
        // fe80::/10, RFC 4291, section 2.5.6
        match ip {
            IpAddr::V6(ip) if ip.segments()[0] & 0xffc0 == 0xfe80 => {}
            _ => return Err(EINVAL),
        }
        // A device may have this in its name, but then no reader could tell what was meant.
        if scope.contains('%') {
            return Err(EINVAL);
        }
        let scope = if scope.bytes().all(|byte| byte.is_ascii_digit()) {
            match scope.parse() {
                Ok(index) if index > 0 && index <= i32::MAX as u32 => Scope::Index(index),
                _ => return Err(EINVAL),
            }
        } else {
            Scope::Device(Device::from_bytes(scope.as_bytes())?)
        };
        Ok(Self { ip, scope })
    }
}

/// As [`Display`], as for the addresses of [`core::net`].
impl Debug for ScopedAddr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        Display::fmt(self, f)
    }
}

impl Display for ScopedAddr {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        match &self.scope {
            Scope::None => write!(f, "{}", self.ip),
            Scope::Index(index) => write!(f, "{}%{index}", self.ip),
            Scope::Device(device) => write!(f, "{}%{device}", self.ip),
        }
    }
}
