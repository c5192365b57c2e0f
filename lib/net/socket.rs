// SPDX-License-Identifier: GPL-2.0

//! A TCP socket of the kernel: making, binding, connecting, sending and receiving.
//!
//! C header: [`include/linux/net.h`](srctree/include/linux/net.h)

use super::{
    addr::{
        family,
        RawAddr, //
    },
    count::{
        countable,
        length, //
    },
    device::Device,
    keepalive::Keepalive,
    namespace::Namespace,
};
use crate::{
    shim::{
        self,
        layout::{
            IPPROTO_MPTCP,
            IPPROTO_TCP,
            SO_PRIORITY,
            TCP_KEEPCNT,
            TCP_KEEPIDLE,
            TCP_KEEPINTVL,
            TCP_NODELAY,
            TCP_USER_TIMEOUT, //
        },
        raw::RawWatch, //
    },
    util::{
        compat::millis_ceil,
        error::EINPROGRESS, //
    }, //
};
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

/// Which direction of a connection to shut down, as in `std::net`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// The direction from the peer: what it sends from now on is not read any more.
    Read,
    /// The peer reads the end of the stream after what was sent so far.
    Write,
    /// Both.
    Both,
}

/// The protocol of a socket.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Protocol {
    #[default]
    Tcp,
    Mptcp,
}

/// Permission to wait for the peer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Blocking {
    /// Until it can be done, or until the timeout of the socket.
    Yes,
    /// Not at all: `EAGAIN` instead.
    No,
}

impl Blocking {
    fn message_flags(self) -> u32 {
        match self {
            Blocking::Yes => 0,
            Blocking::No => bindings::MSG_DONTWAIT,
        }
    }

    /// Translates an error: for a caller that waited, `EAGAIN` of C is the end of the socket's timeout.
    fn error(self, error: Error) -> Error {
        match self {
            Blocking::Yes if error == EAGAIN => ETIMEDOUT,
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
    /// A new socket for addresses of the family of `addr`. It belongs to the kernel, in the root of the
    /// control groups, whichever process makes it. Sleeps.
    pub(super) fn new(
        namespace: &Namespace,
        addr: &SocketAddr,
        protocol: Protocol,
    ) -> Result<Self> {
        let protocol = match protocol {
            Protocol::Tcp => IPPROTO_TCP,
            Protocol::Mptcp => IPPROTO_MPTCP,
        };
        let mut raw = core::ptr::null_mut();

        // SAFETY: `namespace` holds a reference on the namespace, and `raw` is valid for a write.
        to_result(unsafe {
            shim::ktcp_sock_create(namespace.as_ptr(), family(addr), protocol, &raw mut raw)
        })?;

        // SAFETY: `ktcp_sock_create` succeeded, so `raw` is a socket that no other code knows. The
        // kernel made it without a reference on the namespace; `sk_net_refcnt_upgrade` adds it
        // once, outside the socket lock. Accepted sockets inherit that.
        unsafe { shim::sk_net_refcnt_upgrade((*raw).sk) };
        if protocol == IPPROTO_MPTCP {
            // SAFETY: As above: no other code knows the socket.
            unsafe { shim::ktcp_mptcp_lock_class(raw) };
        }

        // INVARIANT: The socket is new, ours, and has just been given its reference.
        // SAFETY: `ktcp_sock_create` succeeded, so `raw` is not null.
        Ok(Self(unsafe { NonNull::new_unchecked(raw) }))
    }

    pub(super) fn as_ptr(&self) -> *mut bindings::socket {
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

    /// Listens, with the backlog that the sysctl `net.core.somaxconn` allows.
    pub(super) fn listen(&self, backlog: c_int) -> Result {
        // SAFETY: The socket is valid.
        to_result(unsafe { shim::ktcp_listen(self.as_ptr(), backlog) })
    }

    /// Waits for the next connection of a listening socket.
    ///
    /// Fails with `EINVAL` once the socket has been [shut down](Self::shutdown).
    pub(super) fn accept(&self, blocking: Blocking) -> Result<Self> {
        let flags = match blocking {
            Blocking::Yes => 0,
            Blocking::No => bindings::O_NONBLOCK,
        };
        let mut raw = core::ptr::null_mut();

        // SAFETY: The socket is valid, and so is `raw` for a write.
        to_result(unsafe { bindings::kernel_accept(self.as_ptr(), &raw mut raw, flags as c_int) })
            .map_err(|error| blocking.error(error))?;

        // INVARIANT: `kernel_accept` made a new socket, whose `sk` was cloned from that of the
        // listener, its reference on the namespace included.
        // SAFETY: On success `raw` is not null.
        Ok(Self(unsafe { NonNull::new_unchecked(raw) }))
    }

    /// Waits until the peer has answered, or for `timeout`.
    pub(super) fn connect(&self, addr: SocketAddr, timeout: Option<Delta>) -> Result {
        let len = RawAddr::len_for(&addr);
        let mut raw = RawAddr::from(addr);
        // What C waits at most is the timeout for sending.
        if timeout.is_some() {
            self.set_timeout(bindings::SO_SNDTIMEO_NEW, timeout)?;
        }
        // SAFETY: As for `bind`.
        to_result(unsafe { bindings::kernel_connect(self.as_ptr(), raw.as_mut_ptr(), len, 0) })
            .map_err(|error| match error {
                EINPROGRESS => ETIMEDOUT,
                _ => error,
            })?;
        match timeout {
            Some(_) => self.set_timeout(bindings::SO_SNDTIMEO_NEW, None),
            None => Ok(()),
        }
    }

    /// Receives into `buffer`; 0 is the end of the stream, or an empty `buffer`.
    pub(super) fn receive(&self, buffer: &mut [u8], blocking: Blocking) -> Result<usize> {
        if buffer.is_empty() {
            // C would wait for a byte that it has no place for.
            return Ok(0);
        }
        self.receive_message(&mut bindings::msghdr::default(), buffer, blocking)
    }

    /// Receives with a `message` that says what else C is to tell.
    fn receive_message(
        &self,
        message: &mut bindings::msghdr,
        buffer: &mut [u8],
        blocking: Blocking,
    ) -> Result<usize> {
        let mut vector = countable(buffer.as_mut_ptr(), buffer.len());
        let len = vector.iov_len;

        // SAFETY: The socket is valid; `vector` describes no more than `buffer`, which is borrowed
        // mutably for the duration of the call, as `message` is.
        let received = unsafe {
            bindings::kernel_recvmsg(
                self.as_ptr(),
                message,
                &raw mut vector,
                1,
                len,
                blocking.message_flags() as c_int,
            )
        };
        length(received).map_err(|error| blocking.error(error))
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
        let count = self.receive_message(&mut message, buffer, Blocking::No)?;
        // SAFETY: The socket is valid.
        let more = message.msg_inq > 0 || unsafe { shim::ktcp_sock_ended(self.as_ptr()) };
        Ok((count, more))
    }

    /// Has `watch` told from now on of whatever happens to the socket. What was there before is not
    /// told.
    ///
    /// Fails with `EBUSY` when the socket is watched already; `watch` is not used then.
    ///
    /// # Safety
    ///
    /// `watch` is initialised, stays where it is, is used for one socket at a time, and is not
    /// freed before [`unwatch`](Self::unwatch) has returned.
    pub(super) unsafe fn watch(&self, watch: *mut RawWatch) -> Result {
        // SAFETY: The socket is valid, and `watch` is by this function's contract.
        to_result(unsafe { shim::ktcp_watch(self.as_ptr(), watch) })
    }

    /// Ends what `watch` began. When this returns, the watch is told of nothing more.
    ///
    /// # Safety
    ///
    /// `watch` is the one that was passed to [`watch`](Self::watch), which has succeeded, and this
    /// is the first call since.
    pub(super) unsafe fn unwatch(&self, watch: *mut RawWatch) {
        // SAFETY: The socket is valid, and `watch` is by this function's contract.
        unsafe { shim::ktcp_unwatch(self.as_ptr(), watch) }
    }

    /// Sends the start of `data`, and says how much of it. `more` says that more follows at once, so
    /// that what does not fill a packet may wait for it.
    pub(super) fn send(&self, data: &[u8], blocking: Blocking, more: bool) -> Result<usize> {
        let more = if more { bindings::MSG_MORE } else { 0 };
        let mut message = bindings::msghdr {
            // A kernel thread has no use for SIGPIPE, and `insmod` would be killed by it.
            msg_flags: bindings::MSG_NOSIGNAL | blocking.message_flags() | more,
            ..Default::default()
        };
        let mut vector = countable(data.as_ptr(), data.len());
        let len = vector.iov_len;

        // SAFETY: The socket is valid; `vector` describes no more than `data`, which is borrowed for the
        // duration of the call and only read: without `MSG_SPLICE_PAGES` the bytes are copied.
        let sent = unsafe {
            bindings::kernel_sendmsg(self.as_ptr(), &raw mut message, &raw mut vector, 1, len)
        };
        length(sent).map_err(|error| blocking.error(error))
    }

    /// Shuts down a direction; wakes the tasks that wait in it. A listening socket stops listening.
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

    /// Sets an option to the bytes of `value`.
    pub(super) fn set_bytes(&self, level: u32, name: u32, value: &[u8]) -> Result {
        // SAFETY: The socket is valid, and C only reads the stated number of bytes.
        to_result(unsafe {
            shim::ktcp_setsockopt(
                self.as_ptr(),
                level as c_int,
                name as c_int,
                value.as_ptr().cast(),
                value.len() as c_uint,
            )
        })
    }

    /// Sets an option that C takes as an `int`.
    pub(super) fn set_int(&self, level: u32, name: u32, value: c_int) -> Result {
        self.set_bytes(level, name, &value.to_ne_bytes())
    }

    /// The value of an option that C gives as an `int`.
    fn get_int(&self, level: u32, name: u32) -> Result<c_int> {
        let mut value = 0;
        // SAFETY: The socket is valid, and so is `value` for a write.
        to_result(unsafe {
            shim::ktcp_getsockopt(self.as_ptr(), level as c_int, name as c_int, &raw mut value)
        })?;
        Ok(value)
    }

    pub(super) fn set_nodelay(&self, nodelay: bool) -> Result {
        self.set_int(bindings::SOL_TCP, TCP_NODELAY, nodelay.into())
    }

    pub(super) fn nodelay(&self) -> Result<bool> {
        Ok(self.get_int(bindings::SOL_TCP, TCP_NODELAY)? != 0)
    }

    pub(super) fn set_out_of_band_inline(&self, inline: bool) -> Result {
        self.set_int(bindings::SOL_SOCKET, bindings::SO_OOBINLINE, inline.into())
    }

    pub(super) fn out_of_band_inline(&self) -> Result<bool> {
        Ok(self.get_int(bindings::SOL_SOCKET, bindings::SO_OOBINLINE)? != 0)
    }

    /// Lets others bind the address that this socket is to be bound to after a connection of it.
    pub(super) fn set_reuse_address(&self) -> Result {
        self.set_int(bindings::SOL_SOCKET, bindings::SO_REUSEADDR, 1)
    }

    pub(super) fn set_reuse_port(&self) -> Result {
        self.set_int(bindings::SOL_SOCKET, bindings::SO_REUSEPORT, 1)
    }

    pub(super) fn set_priority(&self, priority: u32) -> Result {
        // CAST: C takes these 32 bits as an `int`.
        self.set_int(bindings::SOL_SOCKET, SO_PRIORITY, priority as c_int)
    }

    pub(super) fn set_only_v6(&self, only: bool) -> Result {
        self.set_int(bindings::SOL_IPV6, bindings::IPV6_V6ONLY, only.into())
    }

    pub(super) fn bind_to_device(&self, device: &Device) -> Result {
        self.set_bytes(
            bindings::SOL_SOCKET,
            bindings::SO_BINDTODEVICE,
            device.as_bytes(),
        )
    }

    pub(super) fn set_keepalive(&self, keepalive: Option<Keepalive>) -> Result {
        if let Some(keepalive) = keepalive {
            for (name, value) in [
                (TCP_KEEPIDLE, keepalive.idle().into()),
                (TCP_KEEPINTVL, keepalive.interval().into()),
                (TCP_KEEPCNT, keepalive.probes().into()),
            ] {
                self.set_int(bindings::SOL_TCP, name, value)?;
            }
        }
        let on = keepalive.is_some();
        self.set_int(bindings::SOL_SOCKET, bindings::SO_KEEPALIVE, on.into())
    }

    pub(super) fn keepalive(&self) -> Result<Option<Keepalive>> {
        if self.get_int(bindings::SOL_SOCKET, bindings::SO_KEEPALIVE)? == 0 {
            return Ok(None);
        }
        let get = |name| self.get_int(bindings::SOL_TCP, name);
        let keepalive = Keepalive::new(
            get(TCP_KEEPIDLE)?.try_into()?,
            get(TCP_KEEPINTVL)?.try_into()?,
            get(TCP_KEEPCNT)?.try_into()?,
        );
        keepalive.map(Some)
    }

    /// `EINVAL` for less than a millisecond, which C would read as "the default", and for more than
    /// it can count.
    pub(super) fn set_user_timeout(&self, timeout: Option<Delta>) -> Result {
        let millis = match timeout {
            None => 0,
            Some(timeout) if timeout.as_millis() < 1 => return Err(EINVAL),
            Some(timeout) => c_int::try_from(millis_ceil(timeout)).map_err(|_| EINVAL)?,
        };
        self.set_int(bindings::SOL_TCP, TCP_USER_TIMEOUT, millis)
    }

    pub(super) fn user_timeout(&self) -> Result<Option<Delta>> {
        let millis = self.get_int(bindings::SOL_TCP, TCP_USER_TIMEOUT)?;
        Ok((millis != 0).then(|| Delta::from_millis(millis.into())))
    }

    /// Sets a size that C doubles, to have room for what it stores beside the bytes.
    fn set_size(&self, name: u32, bytes: u32) -> Result {
        let bytes = c_int::try_from(bytes).map_err(|_| EINVAL)?;
        if bytes == 0 || bytes > c_int::MAX / 2 {
            return Err(EINVAL);
        }
        self.set_int(bindings::SOL_SOCKET, name, bytes)
    }

    fn size(&self, name: u32) -> Result<u32> {
        let doubled = self.get_int(bindings::SOL_SOCKET, name)?;
        Ok(u32::try_from(doubled)? / 2)
    }

    pub(super) fn set_send_buffer(&self, bytes: u32) -> Result {
        self.set_size(bindings::SO_SNDBUF, bytes)
    }

    pub(super) fn send_buffer(&self) -> Result<u32> {
        self.size(bindings::SO_SNDBUF)
    }

    pub(super) fn set_receive_buffer(&self, bytes: u32) -> Result {
        self.set_size(bindings::SO_RCVBUF, bytes)
    }

    pub(super) fn receive_buffer(&self) -> Result<u32> {
        self.size(bindings::SO_RCVBUF)
    }

    /// Sets a timeout option; `None` waits for ever. Less than a microsecond is `EINVAL`, for C
    /// would read it as "for ever".
    pub(super) fn set_timeout(&self, name: u32, timeout: Option<Delta>) -> Result {
        let micros = match timeout {
            None => 0,
            Some(timeout) if timeout.as_nanos() < 1000 => return Err(EINVAL),
            Some(timeout) => timeout.as_micros_ceil(),
        };
        let value = bindings::__kernel_sock_timeval {
            tv_sec: micros / 1_000_000,
            tv_usec: micros % 1_000_000,
        };
        // SAFETY: The socket is valid, and `value` is what these options take.
        to_result(unsafe {
            shim::ktcp_setsockopt(
                self.as_ptr(),
                bindings::SOL_SOCKET as c_int,
                name as c_int,
                (&raw const value).cast(),
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
