// SPDX-License-Identifier: GPL-2.0

//! Trace events: what happens to each connection, for `perf`, `bpftrace` and tracefs.
//!
//! An event that no tool has enabled costs a branch that is patched out. `shim/trace.h` defines the
//! events. This file declares them itself, because
//! [`declare_trace!`](kernel::tracepoint::declare_trace) finds only those of the kernel.

use super::{
    endpoint::Endpoint,
    environment::Environment, //
};
use crate::handler::CloseReason;
use core::net::SocketAddr;
use kernel::prelude::*;

/// The tracepoints, and the C functions that emit their events.
#[cfg(CONFIG_TRACEPOINTS)]
mod raw {
    use kernel::{
        bindings,
        prelude::*, //
    };

    #[allow(
        improper_ctypes,
        reason = "only the address of the static keys inside is used"
    )]
    extern "C" {
        pub(super) static __tracepoint_ktcp_accept: bindings::tracepoint;
        pub(super) static __tracepoint_ktcp_refuse: bindings::tracepoint;
        pub(super) static __tracepoint_ktcp_receive: bindings::tracepoint;
        pub(super) static __tracepoint_ktcp_send: bindings::tracepoint;
        pub(super) static __tracepoint_ktcp_close: bindings::tracepoint;

        pub(super) fn rust_do_trace_ktcp_accept(
            server: *const c_char,
            connection: c_ulong,
            peer: *const c_void,
        );
        pub(super) fn rust_do_trace_ktcp_refuse(
            server: *const c_char,
            peer: *const c_void,
            reason: *const c_char,
            error: c_int,
        );
        pub(super) fn rust_do_trace_ktcp_receive(
            server: *const c_char,
            connection: c_ulong,
            peer: *const c_void,
            bytes: c_ulong,
        );
        pub(super) fn rust_do_trace_ktcp_send(
            server: *const c_char,
            connection: c_ulong,
            peer: *const c_void,
            bytes: c_ulong,
        );
        pub(super) fn rust_do_trace_ktcp_close(
            server: *const c_char,
            connection: c_ulong,
            peer: *const c_void,
            reason: *const c_char,
            error: c_int,
        );
    }
}

/// Evaluates `$slow` if a tool has enabled the event `$event`.
macro_rules! when_on {
    ($event:ident, $slow:expr) => {{
        #[cfg(CONFIG_TRACEPOINTS)]
        // SAFETY: The key is the static key of a tracepoint that C has defined.
        if unsafe {
            kernel::jump_label::static_branch_unlikely!(
                raw::$event,
                kernel::bindings::tracepoint,
                key
            )
        } {
            $slow
        }
    }};
}

/// Traces a connection that the server has accepted. Any context, as all of these.
#[inline]
pub(crate) fn accept(env: &Environment, conn: &Endpoint) {
    when_on!(__tracepoint_ktcp_accept, slow::accept(env, conn));
    let _ = (env, conn);
}

/// Traces a connection to `server` that was refused, with the reason and the error.
#[inline]
pub(crate) fn refuse(server: &CStr, peer: SocketAddr, reason: &CStr, error: Option<Error>) {
    when_on!(
        __tracepoint_ktcp_refuse,
        slow::refuse(server, peer, reason, error)
    );
    let _ = (server, peer, reason, error);
}

/// Traces `bytes` received from the peer.
#[inline]
pub(crate) fn receive(env: &Environment, conn: &Endpoint, bytes: usize) {
    when_on!(__tracepoint_ktcp_receive, slow::receive(env, conn, bytes));
    let _ = (env, conn, bytes);
}

/// Traces `bytes` given to the socket.
#[inline]
pub(crate) fn send(env: &Environment, conn: &Endpoint, bytes: usize) {
    when_on!(__tracepoint_ktcp_send, slow::send(env, conn, bytes));
    let _ = (env, conn, bytes);
}

/// Traces the end of a connection.
#[inline]
pub(crate) fn close(env: &Environment, conn: &Endpoint, reason: CloseReason) {
    when_on!(__tracepoint_ktcp_close, slow::close(env, conn, reason));
    let _ = (env, conn, reason);
}

/// The branches of enabled events. They are not inlined, so that they are never part of another
/// module.
#[cfg(CONFIG_TRACEPOINTS)]
mod slow {
    use super::{
        raw,
        Endpoint,
        Environment, //
    };
    use crate::{
        handler::CloseReason,
        net::RawAddr, //
    };
    use core::net::SocketAddr;
    use kernel::prelude::*;

    #[cold]
    #[inline(never)]
    pub(super) fn accept(env: &Environment, conn: &Endpoint) {
        let peer = RawAddr::from(conn.peer);
        // SAFETY: The name ends with a NUL, and `peer` has room for any address.
        unsafe {
            raw::rust_do_trace_ktcp_accept(env.name.as_char_ptr(), conn.number, peer.as_ptr());
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn refuse(server: &CStr, peer: SocketAddr, reason: &CStr, error: Option<Error>) {
        let peer = RawAddr::from(peer);
        // SAFETY: As in `accept`; `reason` ends with a NUL, too.
        unsafe {
            raw::rust_do_trace_ktcp_refuse(
                server.as_char_ptr(),
                peer.as_ptr(),
                reason.as_char_ptr(),
                error.map_or(0, Error::to_errno),
            );
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn receive(env: &Environment, conn: &Endpoint, bytes: usize) {
        let peer = RawAddr::from(conn.peer);
        // SAFETY: As in `accept`.
        unsafe {
            raw::rust_do_trace_ktcp_receive(
                env.name.as_char_ptr(),
                conn.number,
                peer.as_ptr(),
                bytes,
            );
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn send(env: &Environment, conn: &Endpoint, bytes: usize) {
        let peer = RawAddr::from(conn.peer);
        // SAFETY: As in `accept`.
        unsafe {
            raw::rust_do_trace_ktcp_send(env.name.as_char_ptr(), conn.number, peer.as_ptr(), bytes);
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn close(env: &Environment, conn: &Endpoint, reason: CloseReason) {
        let peer = RawAddr::from(conn.peer);
        let (name, error) = describe(reason);
        // SAFETY: As in `accept`; `name` ends with a NUL, too.
        unsafe {
            raw::rust_do_trace_ktcp_close(
                env.name.as_char_ptr(),
                conn.number,
                peer.as_ptr(),
                name.as_char_ptr(),
                error,
            );
        }
    }

    fn describe(reason: CloseReason) -> (&'static CStr, c_int) {
        match reason {
            CloseReason::Ended => (c"ended", 0),
            CloseReason::Handler => (c"handler", 0),
            CloseReason::Failed(error) => (c"failed", error.to_errno()),
            CloseReason::Broken(error) => (c"broken", error.to_errno()),
            CloseReason::InputFull => (c"input_full", 0),
            CloseReason::Idle => (c"idle", 0),
            CloseReason::ReceiveTimeout => (c"receive_timeout", 0),
            CloseReason::SendTimeout => (c"send_timeout", 0),
            CloseReason::Stopped => (c"stopped", 0),
        }
    }
}
