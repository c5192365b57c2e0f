// SPDX-License-Identifier: GPL-2.0

//! Receiving and sending where the caller must not sleep, and in whole pages.

use super::{
    count::length,
    socket::Socket,
    TcpStream, //
};
use crate::{
    fs::File,
    net::pages::Pages,
    shim,
    sync::softirq::BhToken, //
};
use kernel::{
    alloc::flags::{
        GFP_NOWAIT,
        __GFP_NOWARN, //
    },
    bindings,
    prelude::*, //
};

/// A piece of memory to which the bytes that are sent are copied, one behind the other.
///
/// # Invariants
///
/// Its page is null, or one on which it holds a reference.
pub(crate) struct Fragment(bindings::page_frag);

// SAFETY: Pages do not belong to a task.
unsafe impl Send for Fragment {}

impl Default for Fragment {
    fn default() -> Self {
        // INVARIANT: There is no page.
        Self(bindings::page_frag {
            page: core::ptr::null_mut(),
            offset: 0,
            size: 0,
        })
    }
}

impl Drop for Fragment {
    fn drop(&mut self) {
        // SAFETY: By the type invariant, and it is not used after this.
        unsafe { shim::ktcp_page_frag_free(&raw mut self.0) }
    }
}

/// A piece of a file that is to be sent.
pub(crate) struct FilePiece<'a> {
    pub(crate) file: &'a File,
    pub(crate) position: u64,
    /// At least 1.
    pub(crate) len: usize,
    /// True if more follows at once, so that what does not fill a packet may wait for it.
    pub(crate) more: bool,
}

/// Result of sending a piece of a file.
pub(crate) struct Sent {
    /// Number of bytes; 0 is the end of the file.
    pub(crate) count: usize,
    /// True if the socket has no room for more, and will tell when it has.
    pub(crate) is_full: bool,
}

impl Socket {
    /// Receives into `buffer`, and says whether there is more to receive at once. Never receives
    /// nothing.
    #[inline]
    fn receive_atomic(&self, _: BhToken<'_>, buffer: &mut [u8]) -> Result<(usize, bool)> {
        let mut more = false;
        // SAFETY: The socket is valid, C writes no more than `buffer` takes, and softirqs are off.
        let received = unsafe {
            shim::ktcp_receive_atomic(
                self.as_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                &raw mut more,
            )
        };
        Ok((length(received)?, more))
    }

    /// Sends the start of `data`, and says how much of it.
    #[inline]
    fn send_atomic(&self, _: BhToken<'_>, fragment: &mut Fragment, data: &[u8]) -> Result<usize> {
        // SAFETY: The socket is valid, C reads `data` only, and replaces the page of `fragment` by
        // one on which it has a reference; softirqs are off.
        length(unsafe {
            shim::ktcp_send_atomic(
                self.as_ptr(),
                &raw mut fragment.0,
                data.as_ptr().cast(),
                data.len(),
            )
        })
    }

    /// Appends to `pages` what was received, `len` bytes at most; says how much, and whether there
    /// is more.
    fn receive_pages(
        &self,
        bh: Option<BhToken<'_>>,
        pages: &mut Pages,
        len: usize,
    ) -> Result<(usize, bool)> {
        let fill = |pieces, room| {
            let (mut used, mut more) = (0, false);
            // SAFETY: The socket is valid, and C initialises as many pieces as it says, of which
            // there is room for `room`. Softirqs are off if it is told so.
            let received = unsafe {
                shim::ktcp_receive_pages(
                    self.as_ptr(),
                    bh.is_some(),
                    pieces,
                    room as c_uint,
                    len,
                    &raw mut used,
                    &raw mut more,
                )
            };
            let received = received as usize;
            (used as usize, received, (received, more))
        };
        // SAFETY: C gives each piece a reference, and what is in it was received. C takes only pages
        // that belong to packets alone, to which TCP and drivers write nothing more as long as they
        // have references. Pages that a sender shares with the packet (they are marked, in a file or
        // mapped) are left to be copied.
        unsafe { pages.append_with(GFP_NOWAIT | __GFP_NOWARN, fill) }
    }

    /// Sends the start of `pages`, and says how much of it.
    fn send_pages(
        &self,
        bh: Option<BhToken<'_>>,
        fragment: &mut Fragment,
        pages: &Pages,
    ) -> Result<usize> {
        let pieces = pages.pieces();
        // SAFETY: The socket is valid, the pieces are as their invariants say, and TCP takes its own
        // references. Softirqs are off if C is told so; for `fragment` see `send_atomic`.
        length(unsafe {
            shim::ktcp_send_pages(
                self.as_ptr(),
                &raw mut fragment.0,
                bh.is_some(),
                pieces.as_ptr(),
                pieces.len() as c_uint,
                pages.len(),
            )
        })
    }

    /// Sends the start of the piece of a file.
    fn send_file(
        &self,
        bh: Option<BhToken<'_>>,
        fragment: &mut Fragment,
        piece: FilePiece<'_>,
    ) -> Result<Sent> {
        let position = i64::try_from(piece.position).map_err(|_| EINVAL)?;
        let mut is_full = false;
        // SAFETY: The socket is valid, and `file` holds a reference on the file. The pages that the
        // socket takes it holds itself, and they belong to the page cache, which shares them.
        // Softirqs are off if C is told so; for `fragment` see `send_atomic`.
        let sent = unsafe {
            shim::ktcp_send_file(
                self.as_ptr(),
                &raw mut fragment.0,
                bh.is_some(),
                piece.file.as_ptr(),
                position,
                piece.len,
                piece.more,
                &raw mut is_full,
            )
        };
        let count = usize::try_from(sent).map_err(|_| Error::from_errno(sent as c_int))?;
        Ok(Sent { count, is_full })
    }
}

impl TcpStream {
    /// Reads into `buffer`, which is not empty; says how much, and whether there is more.
    ///
    /// # Errors
    ///
    /// - `EAGAIN`: there is nothing to read.
    /// - `EBUSY`: this has to be asked of [`try_read`](Self::try_read), where it may sleep: the
    ///   stream has ended, is broken or is not plain TCP, or someone else is at it.
    #[inline]
    pub(crate) fn read_atomic(&self, bh: BhToken<'_>, buffer: &mut [u8]) -> Result<(usize, bool)> {
        self.socket.receive_atomic(bh, buffer)
    }

    /// Sends bytes from the start of `data`, and says how many.
    ///
    /// # Errors
    ///
    /// - `EAGAIN`: there is no room.
    /// - `EBUSY`: this has to be asked of [`try_write`](Self::try_write), where it may sleep:
    ///   someone else is at the stream, it is not plain TCP, or memory is short.
    /// - `EPIPE`, `ECONNRESET`: as for `try_write`.
    #[inline]
    pub(crate) fn write_atomic(
        &self,
        bh: BhToken<'_>,
        fragment: &mut Fragment,
        data: &[u8],
    ) -> Result<usize> {
        self.socket.send_atomic(bh, fragment, data)
    }

    /// Takes the pages of what was received, `len` bytes at most; says how much that is, and whether
    /// there is more. Nothing is an answer too: it is to be read in one of the other ways.
    ///
    /// May sleep, but not for the peer, unless with `bh`.
    pub(crate) fn read_pages(
        &self,
        bh: Option<BhToken<'_>>,
        pages: &mut Pages,
        len: usize,
    ) -> Result<(usize, bool)> {
        self.socket.receive_pages(bh, pages, len)
    }

    /// Sends the start of `pages`, and says how many bytes; with the errors of
    /// [`try_write`](Self::try_write), or of [`write_atomic`](Self::write_atomic) with `bh`.
    pub(crate) fn write_pages(
        &self,
        bh: Option<BhToken<'_>>,
        fragment: &mut Fragment,
        pages: &Pages,
    ) -> Result<usize> {
        self.socket.send_pages(bh, fragment, pages)
    }

    /// Sends the start of a piece of a file, without copying it and without waiting for the peer.
    ///
    /// # Errors
    ///
    /// Those of [`try_write`](Self::try_write), or of [`write_atomic`](Self::write_atomic) if
    /// with `bh`: then `EBUSY` also if it is not in memory.
    pub(crate) fn send_file(
        &self,
        bh: Option<BhToken<'_>>,
        fragment: &mut Fragment,
        piece: FilePiece<'_>,
    ) -> Result<Sent> {
        self.socket.send_file(bh, fragment, piece)
    }
}
