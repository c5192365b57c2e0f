// SPDX-License-Identifier: GPL-2.0

//! Received bytes in the pages in which they came.

use crate::shim;
use kernel::{
    bindings,
    prelude::*, //
};

/// Number of pieces that a queue holds: with pieces of 4 KiB, what one packet has.
const PIECES: usize = 17;

/// A queue of bytes in pages, in which they stay as they are.
///
/// # Invariants
///
/// - Each of `pieces[first..]` has a reference on its page, and is not empty.
/// - The sum of their lengths is `bytes`.
/// - What is in them was received from a stream, and nothing writes to it: not even a sender on this
///   machine, whose own pages are copied.
#[derive(Default)]
pub(crate) struct Pages {
    pieces: KVec<bindings::bio_vec>,
    first: usize,
    bytes: usize,
}

// SAFETY: Pages do not belong to a task.
unsafe impl Send for Pages {}

// SAFETY: `&Pages` only reads.
unsafe impl Sync for Pages {}

impl Pages {
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    pub(crate) fn pieces(&self) -> &[bindings::bio_vec] {
        &self.pieces[self.first..]
    }

    /// Has `fill` append pieces; it is given the room for them, and says how many it has filled and
    /// how many bytes these hold. Allocates the first time, with `flags`.
    ///
    /// # Safety
    ///
    /// `fill` initialises as many pieces as it says, each with a reference on its page, and with
    /// what the type invariants ask for.
    pub(crate) unsafe fn append_with<T>(
        &mut self,
        flags: kernel::alloc::Flags,
        fill: impl FnOnce(*mut bindings::bio_vec, usize) -> (usize, usize, T),
    ) -> Result<T> {
        if self.bytes == 0 {
            self.clear();
        }
        if self.pieces.capacity() < PIECES {
            self.pieces.reserve(PIECES - self.pieces.len(), flags)?;
        }
        let spare = self.pieces.spare_capacity_mut();
        let room = spare.len();
        let (count, bytes, result) = fill(spare.as_mut_ptr().cast(), room);
        // INVARIANT: These pieces are as this function's contract says.
        // SAFETY: They were initialised, and are no more than there was room for.
        unsafe { self.pieces.inc_len(count.min(room)) };
        self.bytes += bytes;
        Ok(result)
    }

    /// Removes `count` bytes from the front, or all when there are fewer.
    pub(crate) fn consume(&mut self, count: usize) {
        let mut left = count.min(self.bytes);
        // INVARIANT: As many bytes go from the pieces; a piece that goes takes its reference along.
        self.bytes -= left;
        while let Some(piece) = self.pieces.get_mut(self.first).filter(|_| left > 0) {
            let part = left.min(piece.bv_len as usize);
            piece.bv_len -= part as u32;
            piece.bv_offset += part as u32;
            left -= part;
            if piece.bv_len == 0 {
                self.first += 1;
                // SAFETY: By the type invariant there is a reference, which is not used any more.
                unsafe { shim::ktcp_put_page(piece.bv_page) };
            }
        }
        if self.bytes == 0 {
            self.clear();
        }
    }

    /// Forgets the pieces that are empty already.
    fn clear(&mut self) {
        debug_assert!(self.first == self.pieces.len());
        self.pieces.clear();
        self.first = 0;
    }

    /// Copies everything to the start of `to`, which has room for it.
    pub(crate) fn copy_to(&self, to: &mut [u8]) {
        let to = &mut to[..self.bytes];
        let pieces = self.pieces();
        // SAFETY: C reads `bytes` bytes of these pieces, which are there by the type invariants, and
        // writes as many to `to`.
        unsafe {
            shim::ktcp_copy_pages(
                to.as_mut_ptr().cast(),
                pieces.as_ptr(),
                pieces.len() as u32,
                to.len(),
            )
        };
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        self.consume(usize::MAX);
    }
}
