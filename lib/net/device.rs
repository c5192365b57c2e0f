// SPDX-License-Identifier: GPL-2.0

//! Names of network devices.

use super::addr::family;
use crate::shim;
use core::{
    fmt::{
        Display,
        Formatter,
        Result as Written, //
    },
    net::SocketAddr, //
};
use kernel::{
    error::to_result,
    prelude::*,
    str::BStr, //
};

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
        Self::from_bytes(name.to_bytes())
    }

    /// Like [`new`](Self::new), of a name without a NUL.
    pub(crate) fn from_bytes(name: &[u8]) -> Result<Self> {
        let strange = |byte: &u8| matches!(byte, b'/' | b':' | 0) || byte.is_ascii_whitespace();
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

    /// The device that a socket of the calling process for addresses of the family of `addr` is bound to
    /// from the start: the VRF `red` in `ip vrf exec red`. Kernel threads have none.
    ///
    /// Fails with `ENODEV` when that device has gone. May sleep.
    pub(crate) fn of_current(addr: &SocketAddr) -> Result<Option<Self>> {
        let mut bytes = [0; Self::SIZE];
        // SAFETY: `bytes` takes as many as the longest name has, with its NUL.
        to_result(unsafe { shim::ktcp_current_device(family(addr), bytes.as_mut_ptr().cast()) })?;
        // INVARIANT: C wrote a name with a NUL behind it, and its first byte was looked at.
        Ok((bytes[0] != 0).then_some(Self(bytes)))
    }

    /// The name for C, which ends with a NUL.
    pub(super) fn as_ptr(&self) -> *const c_char {
        self.0.as_ptr().cast()
    }

    /// The name, without a NUL.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        let len = self.0.iter().position(|&byte| byte == 0);
        &self.0[..len.unwrap_or(Self::SIZE)]
    }

    /// The name, to be printed: a device may have any bytes in it.
    pub(crate) fn display(&self) -> &BStr {
        BStr::from_bytes(self.as_bytes())
    }
}

impl Display for Device {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        // A name that is no text is not one that an operator would type.
        f.write_str(core::str::from_utf8(self.as_bytes()).unwrap_or("?"))
    }
}
