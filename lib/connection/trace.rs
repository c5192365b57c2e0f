// SPDX-License-Identifier: GPL-2.0

//! Trace events: what happens to each connection, for `perf`, `bpftrace` and tracefs.
//!
//! As long as no tool looks, each costs a branch that is patched out. The events themselves are in
//! `shim/trace.h`; [`declare_trace!`](kernel::tracepoint::declare_trace) finds only those of the
//! kernel.

use crate::{
    connection::Connection,
    handler::CloseReason,
    server::limits::Refusal, //
};
use core::net::SocketAddr;
use kernel::prelude::*;

/// The part of an event that C does when it is on.
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

/// Calls `$slow` when a tool looks at the event `$event`.
macro_rules! when_on {
    ($event:ident, $slow:expr) => {{
        #[cfg(CONFIG_TRACEPOINTS)]
        // SAFETY: It is the static key of a tracepoint, which C has defined.
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

/// The connection was taken in. Any context, as all of these.
#[inline]
pub(crate) fn accept(connection: &Connection) {
    when_on!(__tracepoint_ktcp_accept, slow::accept(connection));
    let _ = connection;
}

/// A newcomer to `server` was not taken in.
#[inline]
pub(crate) fn refuse(server: &CStr, peer: SocketAddr, refusal: &Refusal) {
    when_on!(
        __tracepoint_ktcp_refuse,
        slow::refuse(server, peer, refusal)
    );
    let _ = (server, peer, refusal);
}

/// So many bytes have come from the peer.
#[inline]
pub(crate) fn receive(connection: &Connection, bytes: usize) {
    when_on!(__tracepoint_ktcp_receive, slow::receive(connection, bytes));
    let _ = (connection, bytes);
}

/// So many bytes were given to the socket.
#[inline]
pub(crate) fn send(connection: &Connection, bytes: usize) {
    when_on!(__tracepoint_ktcp_send, slow::send(connection, bytes));
    let _ = (connection, bytes);
}

/// The connection ends.
#[inline]
pub(crate) fn close(connection: &Connection, reason: CloseReason) {
    when_on!(__tracepoint_ktcp_close, slow::close(connection, reason));
    let _ = (connection, reason);
}

/// Behind the branches, and never a part of another module.
#[cfg(CONFIG_TRACEPOINTS)]
mod slow {
    use super::raw;
    use crate::{
        connection::Connection,
        handler::CloseReason,
        net::RawAddr,
        server::limits::Refusal, //
    };
    use core::net::SocketAddr;
    use kernel::prelude::*;

    #[cold]
    #[inline(never)]
    pub(super) fn accept(connection: &Connection) {
        let peer = RawAddr::from(connection.peer());
        // SAFETY: The name ends with a NUL, and `peer` has room for any address.
        unsafe {
            raw::rust_do_trace_ktcp_accept(
                connection.config().name.as_char_ptr(),
                connection.number(),
                peer.as_ptr(),
            );
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn refuse(server: &CStr, peer: SocketAddr, refusal: &Refusal) {
        let peer = RawAddr::from(peer);
        let (reason, error) = match refusal {
            Refusal::Full => (c"limit", 0),
            Refusal::PeerFull => (c"peer_limit", 0),
            Refusal::InUse => (c"in_use", 0),
            Refusal::Failed(error) => (c"failed", error.to_errno()),
        };
        // SAFETY: As in `accept`; `reason` ends with a NUL, too.
        unsafe {
            raw::rust_do_trace_ktcp_refuse(
                server.as_char_ptr(),
                peer.as_ptr(),
                reason.as_char_ptr(),
                error,
            );
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn receive(connection: &Connection, bytes: usize) {
        let peer = RawAddr::from(connection.peer());
        // SAFETY: As in `accept`.
        unsafe {
            raw::rust_do_trace_ktcp_receive(
                connection.config().name.as_char_ptr(),
                connection.number(),
                peer.as_ptr(),
                bytes,
            );
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn send(connection: &Connection, bytes: usize) {
        let peer = RawAddr::from(connection.peer());
        // SAFETY: As in `accept`.
        unsafe {
            raw::rust_do_trace_ktcp_send(
                connection.config().name.as_char_ptr(),
                connection.number(),
                peer.as_ptr(),
                bytes,
            );
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn close(connection: &Connection, reason: CloseReason) {
        let peer = RawAddr::from(connection.peer());
        let (name, error) = describe(reason);
        // SAFETY: As in `accept`; `name` ends with a NUL, too.
        unsafe {
            raw::rust_do_trace_ktcp_close(
                connection.config().name.as_char_ptr(),
                connection.number(),
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
