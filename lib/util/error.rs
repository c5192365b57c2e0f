// SPDX-License-Identifier: GPL-2.0

//! Error codes, mostly those of sockets, available on every kernel.
//!
//! `kernel::error::code`, and with it the prelude, defines them only since 7.3. Code that also
//! builds for older kernels imports each one that it uses:
//!
//! ```
//! use kernel::prelude::*;
//! use ktcp_server::error::ENOTCONN;
//!
//! fn is_gone(result: Result) -> bool {
//!     result == Err(ENOTCONN)
//! }
//! # assert!(is_gone(Err(ENOTCONN)));
//! ```
//!
//! Without the import, a name in a pattern is a new binding and matches every error.
//!
//! C header: [`include/uapi/asm-generic/errno.h`](srctree/include/uapi/asm-generic/errno.h)

use core::{
    mem::transmute,
    num::NonZeroI32, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// Converts an errno of C to an [`Error`].
///
/// `const` because a pattern needs a constant; the conversions of the `kernel` crate are not.
const fn error(errno: u32) -> Error {
    const {
        // SAFETY: Every value of the 32 bits of an `Error` is a valid `i32`.
        let eperm = unsafe { transmute::<Error, i32>(EPERM) };
        assert!(eperm == -(bindings::EPERM as i32));
    }
    assert!(errno >= 1 && errno <= bindings::MAX_ERRNO);
    let Some(value) = NonZeroI32::new(-(errno as i32)) else {
        unreachable!();
    };
    // SAFETY: An `Error` has the layout of its number: the assertion above shows that for `EPERM`,
    // in this very compilation. The number is within the range that the type demands.
    unsafe { transmute::<NonZeroI32, Error>(value) }
}

macro_rules! codes {
    ($($name:ident: $what:literal;)*) => {
        $(
            #[doc = $what]
            pub const $name: Error = error(bindings::$name);
        )*
    };
}

codes! {
    EDEADLK: "Resource deadlock would occur.";
    ENAMETOOLONG: "File name too long.";
    ELOOP: "Too many symbolic links encountered.";
    EAFNOSUPPORT: "Address family not supported by protocol.";
    EADDRINUSE: "Address already in use.";
    ENOPROTOOPT: "Protocol not available.";
    EOPNOTSUPP: "Operation not supported on transport endpoint.";
    EADDRNOTAVAIL: "Cannot assign requested address.";
    ENETUNREACH: "Network is unreachable.";
    ECONNABORTED: "Software caused connection abort.";
    ECONNRESET: "Connection reset by peer.";
    ENOBUFS: "No buffer space available.";
    ENOTCONN: "Transport endpoint is not connected.";
    ESHUTDOWN: "Cannot send after transport endpoint shutdown.";
    ETIMEDOUT: "Connection timed out.";
    ECONNREFUSED: "Connection refused.";
    EHOSTUNREACH: "No route to host.";
    EINPROGRESS: "Operation now in progress.";
}
