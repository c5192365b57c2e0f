// SPDX-License-Identifier: GPL-2.0

//! A connection.

use super::{
    keepalive::Keepalive,
    socket::{
        Blocking, //
        Shutdown,
        Socket,
    },
    watch::Watch,
};
use crate::sync::context;
use core::net::SocketAddr;
use kernel::{
    bindings,
    prelude::*,
    time::Delta, //
};

/// A TCP connection between this kernel and a peer; closed when dropped.
///
/// Closing is orderly: what was written is still delivered, then the peer reads the end of the
/// stream. See [`abort`](Self::abort) for the other way, and the [module](super) for an example.
pub struct TcpStream {
    pub(super) socket: Socket,
}

impl TcpStream {
    pub(super) fn from_socket(socket: Socket) -> Self {
        Self { socket }
    }

    /// Waits for bytes and reads them into `buffer`; says how many. 0 is the end of the stream (or
    /// an empty `buffer`). The rest of `buffer` stays as it was. No call reads more than 2^31-1 bytes,
    /// however long `buffer` is.
    ///
    /// # Errors
    ///
    /// - `ETIMEDOUT`: the [read timeout](Self::set_read_timeout) passed, or the peer stopped
    ///   acknowledging.
    /// - `ECONNRESET`, `EPIPE`: the connection is broken.
    /// - `EINTR`, `ERESTARTSYS`: a signal is pending for the calling task.
    ///
    /// May sleep, and does until something comes.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        context::may_sleep()?;
        self.socket.receive(buffer, Blocking::Yes)
    }

    /// Like [`read`](Self::read), but `EAGAIN` where that would wait.
    ///
    /// May sleep, but not for the peer.
    pub fn try_read(&self, buffer: &mut [u8]) -> Result<usize> {
        context::may_sleep()?;
        self.socket.receive(buffer, Blocking::No)
    }

    /// Like [`try_read`](Self::try_read), and says whether another call would find something.
    pub(crate) fn read_ready(&self, buffer: &mut [u8]) -> Result<(usize, bool)> {
        self.socket.receive_ready(buffer)
    }

    /// Has `watch` told of whatever happens to the connection, until [`unwatch`](Self::unwatch).
    ///
    /// Fails with `EBUSY` when it is watched already, as by a BPF sockmap.
    ///
    /// # Safety
    ///
    /// `watch` watches nothing else meanwhile, and if this succeeds, `unwatch` is called before it is
    /// dropped.
    pub(crate) unsafe fn watch(&self, watch: &Watch) -> Result {
        // SAFETY: A `Watch` is initialised and pinned; the rest is this function's contract.
        unsafe { self.socket.watch(watch.as_ptr()) }
    }

    /// Ends what [`watch`](Self::watch) began: `watch` is told of nothing more.
    ///
    /// # Safety
    ///
    /// `watch` watches this stream.
    pub(crate) unsafe fn unwatch(&self, watch: &Watch) {
        // SAFETY: By this function's contract.
        unsafe { self.socket.unwatch(watch.as_ptr()) }
    }

    /// Fills `buffer`.
    ///
    /// # Errors
    ///
    /// Those of [`read`](Self::read), and `EPIPE` when the stream ends before `buffer` is full;
    /// how much had come by then is not told.
    ///
    /// May sleep, and does until everything has come.
    pub fn read_exact(&self, buffer: &mut [u8]) -> Result {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..])? {
                0 => return Err(EPIPE),
                received => filled += received,
            }
        }
        Ok(())
    }

    /// Sends bytes from the start of `data` and says how many; it may be fewer than all of them: no
    /// call sends more than 2^31-1.
    ///
    /// # Errors
    ///
    /// - `ETIMEDOUT`: the [write timeout](Self::set_write_timeout) passed before a byte was sent, or
    ///   the peer stopped acknowledging.
    /// - `EPIPE`, `ECONNRESET`: the connection is broken, or shut down for writing.
    /// - `EINTR`, `ERESTARTSYS`: a signal is pending for the calling task.
    ///
    /// May sleep, and does while the peer does not read.
    pub fn write(&self, data: &[u8]) -> Result<usize> {
        context::may_sleep()?;
        self.socket.send(data, Blocking::Yes, false)
    }

    /// Like [`write`](Self::write), but `EAGAIN` where that would wait.
    ///
    /// May sleep, but not for the peer.
    pub fn try_write(&self, data: &[u8]) -> Result<usize> {
        context::may_sleep()?;
        self.socket.send(data, Blocking::No, false)
    }

    /// Like [`try_write`](Self::try_write); `more` says that more follows at once.
    pub(crate) fn try_write_with(&self, data: &[u8], more: bool) -> Result<usize> {
        self.socket.send(data, Blocking::No, more)
    }

    /// Sends all of `data`.
    ///
    /// # Errors
    ///
    /// Those of [`write`](Self::write); how much was sent by then is not told.
    ///
    /// May sleep, and does while the peer does not read.
    pub fn write_all(&self, mut data: &[u8]) -> Result {
        while !data.is_empty() {
            let sent = self.write(data)?;
            data = data.get(sent..).ok_or(EIO)?;
        }
        Ok(())
    }

    /// Shuts down one direction or both. A task that waits in that direction
    /// is woken: readers find what had come and then the end of the stream, writers `EPIPE`.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` when the connection is gone already.
    ///
    /// May sleep.
    pub fn shutdown(&self, how: Shutdown) -> Result {
        self.socket.shutdown(how)
    }

    /// Closes the connection with a reset (RFC 9293, section 3.10.5): what was not delivered yet
    /// is discarded, and nothing of the connection stays behind in the kernel.
    ///
    /// May sleep.
    pub fn abort(self) {
        self.reset_on_drop();
    }

    /// Makes dropping this stream do what [`abort`](Self::abort) does.
    pub(crate) fn reset_on_drop(&self) {
        self.socket.reset_on_release();
    }

    /// This end's address.
    ///
    /// May sleep.
    pub fn local_addr(&self) -> Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The other end's address; `ENOTCONN` once the connection is gone.
    ///
    /// May sleep.
    pub fn peer_addr(&self) -> Result<SocketAddr> {
        self.socket.peer_addr()
    }

    /// Sets whether small segments are sent at once (`TCP_NODELAY`) instead of waiting for the
    /// acknowledgement of those before (RFC 896).
    ///
    /// May sleep.
    pub fn set_nodelay(&self, nodelay: bool) -> Result {
        self.socket.set_nodelay(nodelay)
    }

    /// Returns what [`set_nodelay`](Self::set_nodelay) has set. `EOPNOTSUPP` for MPTCP.
    ///
    /// May sleep.
    pub fn nodelay(&self) -> Result<bool> {
        self.socket.nodelay()
    }

    /// Sets whether a byte that the peer sends as urgent (`MSG_OOB`) is received in its place among the
    /// others (`SO_OOBINLINE`), as RFC 6093 recommends. By default it is left out of what is read, as
    /// if it had not been sent.
    ///
    /// `ENOPROTOOPT` for MPTCP, which has no urgent bytes.
    ///
    /// May sleep.
    pub fn set_out_of_band_inline(&self, inline: bool) -> Result {
        self.socket.set_out_of_band_inline(inline)
    }

    /// Returns what [`set_out_of_band_inline`](Self::set_out_of_band_inline) has set.
    ///
    /// May sleep.
    pub fn out_of_band_inline(&self) -> Result<bool> {
        self.socket.out_of_band_inline()
    }

    /// Asks a silent peer whether it is still there (`SO_KEEPALIVE`); `None`, the default, does
    /// not.
    ///
    /// May sleep.
    pub fn set_keepalive(&self, keepalive: Option<Keepalive>) -> Result {
        self.socket.set_keepalive(keepalive)
    }

    /// Returns what [`set_keepalive`](Self::set_keepalive) has set. `EOPNOTSUPP` for MPTCP.
    ///
    /// May sleep.
    pub fn keepalive(&self) -> Result<Option<Keepalive>> {
        self.socket.keepalive()
    }

    /// Sets how long sent bytes may stay unacknowledged, and how long a peer may take none, before the
    /// connection fails with `ETIMEDOUT` (`TCP_USER_TIMEOUT`, RFC 5482). `None`, the default, is
    /// as long as the retransmissions of the kernel take.
    ///
    /// `EINVAL` for less than a millisecond and for more than 2^31-1 of them; `ENOPROTOOPT` for
    /// MPTCP.
    ///
    /// May sleep.
    pub fn set_user_timeout(&self, timeout: Option<Delta>) -> Result {
        self.socket.set_user_timeout(timeout)
    }

    /// Returns what [`set_user_timeout`](Self::set_user_timeout) has set. `EOPNOTSUPP` for MPTCP.
    ///
    /// May sleep.
    pub fn user_timeout(&self) -> Result<Option<Delta>> {
        self.socket.user_timeout()
    }

    /// Sets how many bytes the kernel keeps of what is to be sent (`SO_SNDBUF`). It uses twice as much
    /// memory for them at most. Larger sizes than the sysctl `net.core.wmem_max` and smaller ones
    /// than some 2 KiB are taken for those.
    ///
    /// `EINVAL` unless it is 1 to 2^30-1.
    ///
    /// May sleep.
    pub fn set_send_buffer_size(&self, bytes: u32) -> Result {
        self.socket.set_send_buffer(bytes)
    }

    /// Returns how many bytes the kernel keeps of what is to be sent.
    ///
    /// May sleep.
    pub fn send_buffer_size(&self) -> Result<u32> {
        self.socket.send_buffer()
    }

    /// Sets how many bytes the kernel keeps of what was received and is not read yet (`SO_RCVBUF`). It
    /// uses twice as much memory for them at most. Larger sizes than the sysctl
    /// `net.core.rmem_max` and smaller ones than some 1 KiB are taken for those.
    ///
    /// `EINVAL` unless it is 1 to 2^30-1.
    ///
    /// May sleep.
    pub fn set_receive_buffer_size(&self, bytes: u32) -> Result {
        self.socket.set_receive_buffer(bytes)
    }

    /// Returns how many bytes the kernel keeps of what was received and is not read yet.
    ///
    /// May sleep.
    pub fn receive_buffer_size(&self) -> Result<u32> {
        self.socket.receive_buffer()
    }

    /// Sets how long [`read`](Self::read) waits at most; `None`, the default, is for ever. `EINVAL` for
    /// less than a microsecond.
    ///
    /// May sleep.
    pub fn set_read_timeout(&self, timeout: Option<Delta>) -> Result {
        self.socket.set_timeout(bindings::SO_RCVTIMEO_NEW, timeout)
    }

    /// Sets how long [`write`](Self::write) waits at most; `None`, the default, is for ever. What was sent
    /// by then is sent: `write` says how much, or `ETIMEDOUT` if it is nothing. The stream can be
    /// used on. `EINVAL` for less than a microsecond.
    ///
    /// May sleep.
    pub fn set_write_timeout(&self, timeout: Option<Delta>) -> Result {
        self.socket.set_timeout(bindings::SO_SNDTIMEO_NEW, timeout)
    }
}
