// SPDX-License-Identifier: GPL-2.0

//! What the peer of a stream has acknowledged, for tasks that do not have the stream.

use super::TcpStream;
use crate::{
    shim,
    util::compat::millis_ceil, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::Delta, //
};

/// A look at what the peer of a stream acknowledges, which may outlive the stream.
///
/// # Invariants
///
/// `sk` points to a `struct sock` on which this value has a reference.
pub(crate) struct Progress {
    sk: NonNull<bindings::sock>,
    /// The number that C gave when it was asked last.
    acked: Atomic<u32>,
}

// SAFETY: A reference on a `struct sock` does not belong to a task.
unsafe impl Send for Progress {}

// SAFETY: `&Progress` only reads words that C reads without a lock, too; the number is atomic.
unsafe impl Sync for Progress {}

impl Progress {
    /// Returns true if the peer has acknowledged anything since the last call. By one task at a time, in
    /// any context.
    pub(crate) fn has_advanced(&self) -> bool {
        // SAFETY: By the type invariant it is valid.
        let acked = unsafe { shim::ktcp_sock_acked(self.sk.as_ptr()) };
        let before = self.acked.load(Relaxed);
        self.acked.store(acked, Relaxed);
        acked != before
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        // SAFETY: By the type invariant there is a reference, which is not used after this.
        unsafe { shim::ktcp_put_sock(self.sk.as_ptr()) };
    }
}

impl TcpStream {
    /// Returns a look at what the peer acknowledges. Any context.
    pub(crate) fn progress(&self) -> Option<Progress> {
        // SAFETY: The socket is valid, and so has a `sk`.
        let sk = unsafe { shim::ktcp_hold_sock(self.socket.as_ptr()) };
        // INVARIANT: C has just taken the reference.
        let progress = Progress {
            sk: NonNull::new(sk)?,
            acked: Atomic::new(0),
        };
        progress.has_advanced();
        Some(progress)
    }

    /// Returns true if the peer has acknowledged all bytes that were sent. Any context.
    pub(crate) fn is_acknowledged(&self) -> bool {
        // SAFETY: The socket is valid.
        unsafe { shim::ktcp_sock_all_acked(self.socket.as_ptr()) }
    }

    /// Returns true once the peer has acknowledged all that was sent and the end of the stream, and the
    /// error with which the connection has ended before that: `ENOMEM` if there was no memory to send the
    /// end of the stream, which TCP does not try again. May sleep, but not for the peer.
    pub(crate) fn is_delivered(&self) -> Result<bool> {
        // SAFETY: The socket is valid.
        let delivered = unsafe { shim::ktcp_sock_delivered(self.socket.as_ptr()) };
        to_result(delivered).map(|()| delivered > 0)
    }

    /// Fails the connection if the peer acknowledges nothing for `timeout` from now on, unless a shorter
    /// [user timeout](Self::set_user_timeout) is set. Less of it may pass if the peer has acknowledged
    /// nothing for a while.
    ///
    /// `ENOPROTOOPT` for MPTCP.
    ///
    /// May sleep.
    pub(crate) fn limit_silence(&self, timeout: Delta) -> Result {
        if !matches!(self.user_timeout(), Ok(Some(set)) if set <= timeout) {
            self.set_user_timeout(Some(timeout))?;
        }
        let millis = c_uint::try_from(millis_ceil(timeout))?;
        // SAFETY: The socket is valid.
        unsafe { shim::ktcp_heed_user_timeout(self.socket.as_ptr(), millis) };
        Ok(())
    }
}
