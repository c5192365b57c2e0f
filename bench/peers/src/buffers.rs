// SPDX-License-Identifier: GPL-2.0

//! Buffers that the kernel chooses from: io_uring_register_buf_ring(3).

use anyhow::{Context, Result};
use io_uring::{types::BufRingEntry, IoUring};
use std::{
    alloc::{alloc_zeroed, handle_alloc_error, Layout},
    sync::atomic::{AtomicU16, Ordering},
};

const PAGE: usize = 4096;

/// A power of two, at most 32768. More than connections that have something to say at one time.
const COUNT: u16 = 4096;

/// Bytes of a buffer.
const SIZE: usize = 16 << 10;

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
    /// How many the kernel has.
    free: u16,
}

impl Buffers {
    /// Makes the buffers and registers them.
    pub fn register(uring: &IoUring) -> Result<Self> {
        let ring = leak(usize::from(COUNT) * size_of::<BufRingEntry>()).cast();
        let memory = leak(usize::from(COUNT) * SIZE);
        // INVARIANT: So large they were made just now, and leaked.
        let mut buffers = Self {
            ring,
            memory,
            tail: 0,
            free: 0,
        };
        let submitter = uring.submitter();
        // SAFETY: By the type's invariants the ring has that many entries and lives for ever.
        unsafe { submitter.register_buf_ring_with_flags(ring as u64, COUNT, GROUP, 0) }
            .context("io_uring_register_buf_ring")?;
        (0..COUNT).for_each(|id| buffers.give_back(id));
        Ok(buffers)
    }

    /// Where a buffer is, and how many bytes it has.
    pub fn get(&self, id: u16) -> (*const u8, usize) {
        assert!(id < COUNT);
        // SAFETY: By the type's invariants there are `COUNT` buffers.
        (unsafe { self.memory.add(usize::from(id) * SIZE) }, SIZE)
    }

    /// Called when the kernel has chosen one.
    pub fn take(&mut self) {
        self.free -= 1;
    }

    /// Whether the kernel would find one.
    pub fn any_free(&self) -> bool {
        self.free > 0
    }

    /// Lets the kernel use a buffer again.
    pub fn give_back(&mut self, id: u16) {
        let (address, size) = self.get(id);
        let place = usize::from(self.tail & (COUNT - 1));
        // SAFETY: By the type's invariants there are `COUNT` entries, and the kernel does not look
        // at this one before the tail says so. No field that is written here is the tail.
        let entry = unsafe { &mut *self.ring.add(place) };
        entry.set_addr(address as u64);
        entry.set_len(size as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: `ring` is the first entry, as `tail()` asks for; what it points to is only
        // accessed atomically, here and by the kernel.
        let tail = unsafe { AtomicU16::from_ptr(BufRingEntry::tail(self.ring).cast_mut()) };
        tail.store(self.tail, Ordering::Release);
        self.free += 1;
    }
}
