// SPDX-License-Identifier: GPL-2.0

//! The one layer that touches raw sockets.
//!
//! C header: [`include/linux/net.h`](srctree/include/linux/net.h)

use super::{
    addr::RawAddr,
    namespace::Namespace,
    watch::RawWatch, //
};
use crate::shim;
use core::{
    net::SocketAddr,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    time::Delta, //
};

/// C header: [`include/uapi/linux/in.h`](srctree/include/uapi/linux/in.h)
const IPPROTO_TCP: c_int = 6;
/// C header: [`include/uapi/linux/tcp.h`](srctree/include/uapi/linux/tcp.h)
pub(super) const TCP_NODELAY: u32 = 1;

/// Which direction of a connection to shut down, as in `std::net`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// What the peer sends from now on is not read any more.
    Read,
    /// The peer reads the end of the stream after what was sent so far.
    Write,
    /// Both.
    Both,
}

/// Whether a call may wait for the peer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    /// Until it can be done, or until the timeout of the socket.
    Block,
    /// Not at all: `EAGAIN` instead.
    No,
}

impl Wait {
    fn message_flags(self) -> u32 {
        match self {
            Wait::Block => 0,
            Wait::No => bindings::MSG_DONTWAIT,
        }
    }

    /// What C reports as `EAGAIN` is the end of the socket's timeout to a caller who waited.
    fn error(self, error: Error) -> Error {
        match self {
            Wait::Block if error == EAGAIN => ETIMEDOUT,
            _ => error,
        }
    }
}

/// A TCP socket.
///
/// # Invariants
///
/// `0` points to a `struct socket` that this value alone owns; its `sk` is a TCP (or MPTCP) socket
/// that stays attached until [`sock_release`] and holds a reference on its network namespace.
///
/// [`sock_release`]: srctree/include/linux/net.h
pub(super) struct Socket(NonNull<bindings::socket>);

// SAFETY: Sockets do not belong to a task. They may be used and released from any one.
unsafe impl Send for Socket {}

// SAFETY: All that `&Socket` offers are calls into C that serialise by the socket lock.
unsafe impl Sync for Socket {}

impl Socket {
    /// A new socket for addresses of the family of `addr`.
    pub(super) fn new(namespace: &Namespace, addr: &SocketAddr) -> Result<Self> {
        let family = match addr {
            SocketAddr::V4(_) => bindings::PF_INET,
            SocketAddr::V6(_) => bindings::AF_INET6,
        };
        let mut raw = core::ptr::null_mut();

        // SAFETY: `namespace` holds a reference on the namespace, and `raw` is valid for a write.
        to_result(unsafe {
            bindings::sock_create_kern(
                namespace.as_ptr(),
                family as c_int,
                bindings::sock_type_SOCK_STREAM as c_int,
                IPPROTO_TCP,
                &raw mut raw,
            )
        })?;

        // SAFETY: `sock_create_kern` succeeded, so `raw` is a socket that nobody else knows. The
        // kernel made it without a reference on the namespace; `sk_net_refcnt_upgrade` adds it
        // once, outside the socket lock. Accepted sockets inherit that.
        unsafe { shim::sk_net_refcnt_upgrade((*raw).sk) };

        // INVARIANT: The socket is new, ours, and has just been given its reference.
        // SAFETY: `sock_create_kern` succeeded, so `raw` is not null.
        Ok(Self(unsafe { NonNull::new_unchecked(raw) }))
    }

    fn as_ptr(&self) -> *mut bindings::socket {
        self.0.as_ptr()
    }

    fn sk(&self) -> *mut bindings::sock {
        // SAFETY: By the type invariant the socket is valid and `sk` does not change.
        unsafe { (*self.as_ptr()).sk }
    }

    pub(super) fn bind(&self, addr: SocketAddr) -> Result {
        let len = RawAddr::len_for(&addr);
        let mut raw = RawAddr::from(addr);
        // SAFETY: The socket is valid, and `raw` holds `len` bytes, which are fewer than the
        // `struct sockaddr_storage` into which C copies them.
        to_result(unsafe { bindings::kernel_bind(self.as_ptr(), raw.as_mut_ptr(), len) })
    }

    pub(super) fn listen(&self, backlog: c_int) -> Result {
        // SAFETY: The socket is valid.
        to_result(unsafe { bindings::kernel_listen(self.as_ptr(), backlog) })
    }

    /// Waits for the next connection of a listening socket.
    ///
    /// Fails with `EINVAL` once the socket has been [shut down](Self::shutdown).
    pub(super) fn accept(&self, wait: Wait) -> Result<Self> {
        let flags = match wait {
            Wait::Block => 0,
            Wait::No => bindings::O_NONBLOCK,
        };
        let mut raw = core::ptr::null_mut();

        // SAFETY: The socket is valid, and so is `raw` for a write.
        to_result(unsafe { bindings::kernel_accept(self.as_ptr(), &raw mut raw, flags as c_int) })
            .map_err(|error| wait.error(error))?;

        // INVARIANT: `kernel_accept` made a new socket, whose `sk` was cloned from that of the
        // listener, its reference on the namespace included.
        // SAFETY: On success `raw` is not null.
        Ok(Self(unsafe { NonNull::new_unchecked(raw) }))
    }

    pub(super) fn connect(&self, addr: SocketAddr) -> Result {
        let len = RawAddr::len_for(&addr);
        let mut raw = RawAddr::from(addr);
        // SAFETY: As for `bind`.
        to_result(unsafe { bindings::kernel_connect(self.as_ptr(), raw.as_mut_ptr(), len, 0) })
    }

    /// Receives into `buffer`; 0 is the end of the stream, or an empty `buffer`.
    pub(super) fn receive(&self, buffer: &mut [u8], wait: Wait) -> Result<usize> {
        if buffer.is_empty() {
            // C would wait for a byte that it has no place for.
            return Ok(0);
        }
        let mut message = bindings::msghdr::default();
        let mut vector = bindings::kvec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };

        // SAFETY: The socket is valid; `vector` describes exactly `buffer`, which is borrowed
        // mutably for the duration of the call.
        let received = unsafe {
            bindings::kernel_recvmsg(
                self.as_ptr(),
                &raw mut message,
                &raw mut vector,
                1,
                buffer.len(),
                wait.message_flags() as c_int,
            )
        };
        length(received).map_err(|error| wait.error(error))
    }

    /// Like [`receive`](Self::receive) without waiting, and says whether there is more to receive
    /// at once: bytes, the end of the stream, or an error.
    pub(super) fn receive_ready(&self, buffer: &mut [u8]) -> Result<(usize, bool)> {
        let mut message = bindings::msghdr {
            // For protocols that do not tell.
            msg_inq: 1,
            ..Default::default()
        };
        message.set_msg_get_inq(true);
        let mut vector = bindings::kvec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };

        // SAFETY: As for `receive`.
        let received = unsafe {
            bindings::kernel_recvmsg(
                self.as_ptr(),
                &raw mut message,
                &raw mut vector,
                1,
                buffer.len(),
                bindings::MSG_DONTWAIT as c_int,
            )
        };
        let count = length(received)?;
        // SAFETY: The socket is valid.
        let more = message.msg_inq > 0 || unsafe { shim::ktcp_sock_ended(self.as_ptr()) };
        Ok((count, more))
    }

    /// Has `watch` told from now on of whatever happens to the socket. What was there before is not
    /// told.
    ///
    /// # Safety
    ///
    /// `watch` is initialised, stays where it is, is used for one socket at a time, and is not
    /// freed before [`unwatch`](Self::unwatch) has returned.
    pub(super) unsafe fn watch(&self, watch: *mut RawWatch) {
        // SAFETY: The socket is valid, and `watch` is by this function's contract.
        unsafe { shim::ktcp_watch(self.as_ptr(), watch) }
    }

    /// Ends what `watch` began. When this returns, the watch is told of nothing more.
    ///
    /// # Safety
    ///
    /// `watch` is the one that was passed to [`watch`](Self::watch), and this is the first call
    /// since.
    pub(super) unsafe fn unwatch(&self, watch: *mut RawWatch) {
        // SAFETY: The socket is valid, and `watch` is by this function's contract.
        unsafe { shim::ktcp_unwatch(self.as_ptr(), watch) }
    }

    /// Sends the start of `data`, and says how much of it.
    pub(super) fn send(&self, data: &[u8], wait: Wait) -> Result<usize> {
        let mut message = bindings::msghdr {
            // A kernel thread has no use for SIGPIPE, and `insmod` would be killed by it.
            msg_flags: bindings::MSG_NOSIGNAL | wait.message_flags(),
            ..Default::default()
        };
        let mut vector = bindings::kvec {
            iov_base: data.as_ptr().cast_mut().cast(),
            iov_len: data.len(),
        };

        // SAFETY: The socket is valid; `vector` describes exactly `data`, which is borrowed for the
        // duration of the call and only read: without `MSG_SPLICE_PAGES` the bytes are copied.
        let sent = unsafe {
            bindings::kernel_sendmsg(
                self.as_ptr(),
                &raw mut message,
                &raw mut vector,
                1,
                data.len(),
            )
        };
        length(sent).map_err(|error| wait.error(error))
    }

    /// Shuts down a direction; wakes whoever waits in it. A listening socket stops listening.
    pub(super) fn shutdown(&self, how: Shutdown) -> Result {
        let how = match how {
            Shutdown::Read => bindings::sock_shutdown_cmd_SHUT_RD,
            Shutdown::Write => bindings::sock_shutdown_cmd_SHUT_WR,
            Shutdown::Both => bindings::sock_shutdown_cmd_SHUT_RDWR,
        };
        // SAFETY: The socket is valid.
        to_result(unsafe { bindings::kernel_sock_shutdown(self.as_ptr(), how) })
    }

    /// Makes the release of this socket reset the connection and discard what was not yet sent.
    pub(super) fn reset_on_release(&self) {
        // SAFETY: `sk` is valid by the type invariant.
        unsafe { shim::sock_no_linger(self.sk()) }
    }

    pub(super) fn local_addr(&self) -> Result<SocketAddr> {
        let mut raw = RawAddr::unspecified();
        // SAFETY: The socket is valid, and `raw` is as large as any address that C writes.
        length(unsafe { bindings::kernel_getsockname(self.as_ptr(), raw.as_mut_ptr()) })?;
        raw.decode()
    }

    pub(super) fn peer_addr(&self) -> Result<SocketAddr> {
        let mut raw = RawAddr::unspecified();
        // SAFETY: The socket is valid, and `raw` is as large as any address that C writes.
        length(unsafe { bindings::kernel_getpeername(self.as_ptr(), raw.as_mut_ptr()) })?;
        raw.decode()
    }

    /// Sets an option that C takes as an `int`.
    pub(super) fn set_int(&self, level: u32, name: u32, mut value: c_int) -> Result {
        // SAFETY: The socket is valid, and `value` is an `int` of the stated size.
        to_result(unsafe {
            shim::ktcp_setsockopt(
                self.as_ptr(),
                level as c_int,
                name as c_int,
                (&raw mut value).cast(),
                size_of_val(&value) as c_uint,
            )
        })
    }

    /// Sets a timeout option; `None` waits for ever. Less than a microsecond is `EINVAL`, for C
    /// would read it as "for ever".
    pub(super) fn set_timeout(&self, name: u32, timeout: Option<Delta>) -> Result {
        let micros = match timeout {
            None => 0,
            Some(timeout) if timeout.as_nanos() < 1000 => return Err(EINVAL),
            Some(timeout) => timeout.as_micros_ceil(),
        };
        let mut value = bindings::__kernel_sock_timeval {
            tv_sec: micros / 1_000_000,
            tv_usec: micros % 1_000_000,
        };
        // SAFETY: The socket is valid, and `value` is what these options take.
        to_result(unsafe {
            shim::ktcp_setsockopt(
                self.as_ptr(),
                bindings::SOL_SOCKET as c_int,
                name as c_int,
                (&raw mut value).cast(),
                size_of_val(&value) as c_uint,
            )
        })
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the socket is ours alone; this is the end of it.
        unsafe { bindings::sock_release(self.as_ptr()) }
    }
}

/// A length that C returned, or the error it stands for.
fn length(returned: c_int) -> Result<usize> {
    usize::try_from(returned).map_err(|_| Error::from_errno(returned))
}
