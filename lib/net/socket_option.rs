// SPDX-License-Identifier: GPL-2.0

//! Socket options that authors name themselves.

use super::{
    device::Device,
    socket::Socket, //
};
use crate::{
    shim,
    util::error::ENOPROTOOPT, //
};
use core::fmt::{
    Display,
    Formatter,
    Result as Written, //
};
use kernel::prelude::*;

/// The name of a congestion control algorithm, such as `bbr` (`TCP_CONGESTION`).
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use ktcp_server::net::{CongestionControl, TcpListener};
///
/// let options = TcpListener::options().congestion_control(CongestionControl::new(c"reno")?);
/// assert_eq!(CongestionControl::new(c""), Err(EINVAL));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CongestionControl(Device);

impl CongestionControl {
    /// A name of 1 to 15 bytes, without blanks, slashes and colons.
    ///
    /// # Errors
    ///
    /// `EINVAL` for another. The kernel looks for the algorithm when a socket is made, and loads its module
    /// if need be; `ENOENT` then says that there is none.
    ///
    /// Any context.
    pub fn new(name: &CStr) -> Result<Self> {
        // The kernel has the same limit for both.
        Device::new(name).map(Self)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A socket option by its numbers, for those that have no method of their own: as `setsockopt(2)` takes
/// them, with a value that is an `int`.
///
/// The kernel has options that would make a socket another thing than what the library takes it for
/// (`TCP_ULP`, `TCP_REPAIR`, `IPV6_ADDRFORM`), that take pointers, or that the library sets itself. So only
/// those can be set that are known to be harmless:
///
/// | level | options |
/// |---|---|
/// | `SOL_SOCKET` (1) | `SO_RCVBUFFORCE`, `SO_SNDBUFFORCE`, `SO_MARK`, `SO_PRIORITY`, `SO_BUSY_POLL`, `SO_PREFER_BUSY_POLL`, `SO_BUSY_POLL_BUDGET`, `SO_INCOMING_CPU`, `SO_TXREHASH`, `SO_DONTROUTE`, `SO_DEBUG` |
/// | `SOL_IP` (0) | `IP_TOS`, `IP_TTL`, `IP_MTU_DISCOVER`, `IP_MINTTL`, `IP_FREEBIND`, `IP_TRANSPARENT`, `IP_LOCAL_PORT_RANGE`, `IP_BIND_ADDRESS_NO_PORT` |
/// | `SOL_IPV6` (41) | `IPV6_TCLASS`, `IPV6_UNICAST_HOPS`, `IPV6_MTU_DISCOVER`, `IPV6_MTU`, `IPV6_DONTFRAG`, `IPV6_MINHOPCOUNT`, `IPV6_FREEBIND`, `IPV6_TRANSPARENT`, `IPV6_AUTOFLOWLABEL` |
/// | `SOL_TCP` (6) | `TCP_MAXSEG`, `TCP_SYNCNT`, `TCP_LINGER2`, `TCP_WINDOW_CLAMP`, `TCP_DEFER_ACCEPT`, `TCP_FASTOPEN`, `TCP_FASTOPEN_NO_COOKIE`, `TCP_NOTSENT_LOWAT`, `TCP_THIN_LINEAR_TIMEOUTS`, `TCP_TX_DELAY`, `TCP_RTO_MAX_MS`, `TCP_RTO_MIN_US`, `TCP_DELACK_MAX_US`, `TCP_SAVE_SYN` |
///
/// # Examples
///
/// ```
/// use ktcp_server::net::{SocketOption, TcpListener};
///
/// // SOL_TCP, TCP_LINGER2: a connection that waits for its peer's end is forgotten after 10 s.
/// let options = TcpListener::options().socket_option(SocketOption::new(6, 8, 10));
/// ```
///
/// C header: [`include/uapi/linux/tcp.h`](srctree/include/uapi/linux/tcp.h)
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOption {
    level: u32,
    name: u32,
    value: i32,
}

impl SocketOption {
    /// The option `name` of `level`. Any context.
    pub const fn new(level: u32, name: u32, value: i32) -> Self {
        Self { level, name, value }
    }

    /// `ENOPROTOOPT` for one that is not in the table, else the error of the kernel.
    pub(super) fn apply(&self, socket: &Socket) -> Result {
        // SAFETY: May be called in any context.
        if !unsafe { shim::ktcp_may_set_option(self.level, self.name) } {
            return Err(ENOPROTOOPT);
        }
        socket.set_int(self.level, self.name, self.value)
    }
}

impl Display for SocketOption {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        write!(f, "{}:{}={}", self.level, self.name, self.value)
    }
}
