// SPDX-License-Identifier: GPL-2.0

//! Conversion between [`core::net`] addresses and those of C.
//!
//! C headers: [`include/uapi/linux/in.h`](srctree/include/uapi/linux/in.h),
//! [`include/uapi/linux/in6.h`](srctree/include/uapi/linux/in6.h)

use crate::{
    shim::layout::assert_layout,
    util::error::EAFNOSUPPORT, //
};
use core::net::{
    Ipv4Addr,
    Ipv6Addr,
    SocketAddr,
    SocketAddrV4,
    SocketAddrV6, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// The family of the sockets for such an address.
pub(super) fn family(addr: &SocketAddr) -> c_int {
    let family = match addr {
        SocketAddr::V4(_) => bindings::AF_INET,
        SocketAddr::V6(_) => bindings::AF_INET6,
    };
    // CAST: Both are small numbers.
    family as c_int
}

/// `struct sockaddr_in`, which [`bindings`] lacks before 7.3.
#[repr(C)]
#[derive(Clone, Copy)]
struct SockaddrIn {
    sin_family: bindings::sa_family_t,
    /// Big endian, as the address.
    sin_port: u16,
    sin_addr: u32,
    zero: [u8; 8],
}

assert_layout!(SockaddrIn, sockaddr_in, [sin_family, sin_port, sin_addr]);

/// A socket address as C lays it out, with room for the largest family.
///
/// # Invariants
///
/// Every byte of the union is initialised: it starts as zeroes and is only overwritten by whole
/// fields or by C.
#[repr(C)]
pub(crate) union RawAddr {
    family: bindings::sa_family_t,
    v4: SockaddrIn,
    v6: bindings::sockaddr_in6,
    storage: bindings::__kernel_sockaddr_storage,
}

impl RawAddr {
    /// An address of family `AF_UNSPEC`, to be filled in by C.
    pub(super) fn unspecified() -> Self {
        // INVARIANT: The largest member is zeroed, and with it every byte.
        Self {
            storage: Default::default(),
        }
    }

    /// The number of bytes that are significant for the family of `addr`.
    pub(super) fn len_for(addr: &SocketAddr) -> c_int {
        // CAST: Both are some tens of bytes.
        match addr {
            SocketAddr::V4(_) => size_of::<SockaddrIn>() as c_int,
            SocketAddr::V6(_) => size_of::<bindings::sockaddr_in6>() as c_int,
        }
    }

    /// The pointer to it for C: valid for reads of the largest address.
    pub(crate) fn as_ptr<T>(&self) -> *const T {
        core::ptr::from_ref(self).cast()
    }

    pub(super) fn as_mut_ptr<T>(&mut self) -> *mut T {
        core::ptr::from_mut(self).cast()
    }

    /// The address in Rust's terms, or `EAFNOSUPPORT` when it is neither IPv4 nor IPv6.
    pub(super) fn decode(&self) -> Result<SocketAddr> {
        // SAFETY: By the type invariant all bytes are initialised, and every bit pattern is valid
        // for the integers that the members consist of.
        let (family, v4, v6) = unsafe { (self.family, &self.v4, &self.v6) };

        match u32::from(family) {
            bindings::AF_INET => Ok(SocketAddrV4::new(
                Ipv4Addr::from(u32::from_be(v4.sin_addr)),
                u16::from_be(v4.sin_port),
            )
            .into()),
            bindings::AF_INET6 => {
                // SAFETY: As above.
                let octets = unsafe { v6.sin6_addr.in6_u.u6_addr8 };
                Ok(SocketAddrV6::new(
                    Ipv6Addr::from(octets),
                    u16::from_be(v6.sin6_port),
                    u32::from_be(v6.sin6_flowinfo),
                    v6.sin6_scope_id,
                )
                .into())
            }
            _ => Err(EAFNOSUPPORT),
        }
    }
}

impl From<SocketAddr> for RawAddr {
    fn from(addr: SocketAddr) -> Self {
        let mut raw = Self::unspecified();
        match addr {
            SocketAddr::V4(addr) => {
                raw.v4 = SockaddrIn {
                    sin_family: bindings::AF_INET as bindings::sa_family_t,
                    sin_port: addr.port().to_be(),
                    sin_addr: u32::from(*addr.ip()).to_be(),
                    zero: [0; 8],
                };
            }
            SocketAddr::V6(addr) => {
                raw.v6 = bindings::sockaddr_in6 {
                    sin6_family: bindings::AF_INET6 as c_ushort,
                    sin6_port: addr.port().to_be(),
                    sin6_flowinfo: addr.flowinfo().to_be(),
                    sin6_addr: bindings::in6_addr {
                        in6_u: bindings::in6_addr__bindgen_ty_1 {
                            u6_addr8: addr.ip().octets(),
                        },
                    },
                    sin6_scope_id: addr.scope_id(),
                };
            }
        }
        raw
    }
}
