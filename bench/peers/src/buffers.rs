// SPDX-License-Identifier: GPL-2.0

//! Buffers that the kernel fills, one piece after the other: io_uring_register_buf_ring(3) with
//! IOU_PBUF_RING_INC.
//!
//! A small message takes up as many bytes as it has, and a large one comes in one piece. So few
//! buffers are enough, and they stay in the caches.

use anyhow::{Context, Result};
use io_uring::{
    types::{BufRingEntry, IOU_PBUF_RING_INC},
    Submitter,
};
use std::{
    alloc::{alloc_zeroed, handle_alloc_error, Layout},
    sync::atomic::{AtomicU16, Ordering},
};

const PAGE: usize = 4096;

/// A power of two, at most 32768.
const COUNT: u16 = 32;

/// Bytes of a buffer.
const SIZE: usize = 256 << 10;

/// The group of buffers, for the requests that choose from it.
pub const GROUP: u16 = 0;

/// Memory that is never given back: the kernel writes to it for as long as the ring lives.
fn leak(bytes: usize) -> *mut u8 {
    let layout = Layout::from_size_align(bytes, PAGE).expect("sizes are constants");
    // SAFETY: The layout is not empty: both callers pass constants above zero.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        handle_alloc_error(layout);
    }
    memory
}

/// Bytes that were received, in one of the buffers.
#[derive(Clone, Copy)]
pub struct Piece {
    buffer: u16,
    start: u32,
    pub length: u32,
}

/// What is known of a buffer.
#[derive(Clone, Copy, Default)]
struct Use {
    /// Bytes that the kernel has filled.
    filled: u32,
    /// Pieces that were not given back.
    pieces: u32,
    /// The kernel will not write to it any more.
    is_done: bool,
}

/// The ring, and the buffers that go round in it.
///
/// # Invariants
///
/// - `ring` points to `COUNT` entries, page-aligned, and `memory` to `COUNT` buffers of `SIZE`
///   bytes; both live for ever.
/// - Nobody but `tail`'s readers in the kernel shares the ring.
pub struct Buffers {
    ring: *mut BufRingEntry,
    memory: *mut u8,
    tail: u16,
    uses: [Use; COUNT as usize],
    /// How many the kernel may write to.
    free: u16,
}

impl Buffers {
    /// Makes the buffers and registers them.
    pub fn register(submitter: &Submitter<'_>) -> Result<Self> {
        let ring = leak(usize::from(COUNT) * size_of::<BufRingEntry>()).cast();
        let memory = leak(usize::from(COUNT) * SIZE);
        // INVARIANT: So large they were made just now, and leaked.
        let mut buffers = Self {
            ring,
            memory,
            tail: 0,
            uses: [Use::default(); COUNT as usize],
            free: 0,
        };
        let flags = IOU_PBUF_RING_INC as u16;
        // SAFETY: By the type's invariants the ring has that many entries and lives for ever.
        unsafe { submitter.register_buf_ring_with_flags(ring as u64, COUNT, GROUP, flags) }
            .context("io_uring_register_buf_ring: Linux 6.12 is the first that can do it")?;
        (0..COUNT).for_each(|buffer| buffers.offer(buffer));
        Ok(buffers)
    }

    /// Where a piece is.
    pub fn address(&self, piece: Piece) -> *const u8 {
        let offset = usize::from(piece.buffer) * SIZE + piece.start as usize;
        // SAFETY: A piece lies in its buffer (see `take`), and by the type's invariants there are
        // `COUNT` buffers.
        unsafe { self.memory.add(offset) }
    }

    /// Called when the kernel has put `length` bytes into a buffer; `more`: it goes on with it.
    pub fn take(&mut self, buffer: u16, length: u32, more: bool) -> Piece {
        let used = &mut self.uses[usize::from(buffer)];
        let piece = Piece {
            buffer,
            start: used.filled,
            length,
        };
        used.filled += length;
        assert!(used.filled as usize <= SIZE, "the kernel said too much");
        used.pieces += 1;
        if !more {
            used.is_done = true;
            self.free -= 1;
        }
        piece
    }

    /// Whether the kernel would find one.
    pub fn any_free(&self) -> bool {
        self.free > 0
    }

    /// Lets the kernel use the piece's buffer again, if it was the last of it.
    pub fn give_back(&mut self, piece: Piece) {
        let used = &mut self.uses[usize::from(piece.buffer)];
        used.pieces -= 1;
        if used.is_done && used.pieces == 0 {
            self.offer(piece.buffer);
        }
    }

    fn offer(&mut self, buffer: u16) {
        self.uses[usize::from(buffer)] = Use::default();
        let offset = usize::from(buffer) * SIZE;
        let place = usize::from(self.tail & (COUNT - 1));
        // SAFETY: By the type's invariants there are `COUNT` entries, and the kernel does not look
        // at this one before the tail says so. No field that is written here is the tail.
        let entry = unsafe { &mut *self.ring.add(place) };
        entry.set_addr(self.memory as u64 + offset as u64);
        entry.set_len(SIZE as u32);
        entry.set_bid(buffer);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: `ring` is the first entry, as `tail()` asks for; what it points to is only
        // accessed atomically, here and by the kernel.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
        self.free += 1;
    }
}
