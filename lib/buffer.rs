// SPDX-License-Identifier: GPL-2.0

//! Buffers for bytes from and to the network.

use crate::{
    fs::{
        File,
        Wait, //
    },
    net::{
        pages::Pages,
        Fragment,
        TcpStream, //
    },
    shim,
    sync::softirq::BhToken,
    util::error::ENOBUFS, //
};
use core::ops::{
    Deref,
    DerefMut, //
};
use kernel::{
    alloc::{
        flags::{
            GFP_NOWAIT,
            __GFP_NOWARN, //
        },
        Flags, //
    },
    prelude::*, //
};

/// The size of a buffer in bytes: at least 1, at most 16 MiB. Any context.
///
/// # Examples
///
/// ```
/// use ktcp_server::BufferSize;
///
/// const PAGE: BufferSize = BufferSize::of::<4096>(); // checked by the compiler
/// assert_eq!(PAGE.bytes(), 4096);
/// assert!(BufferSize::new(0).is_err()); // checked at run time
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BufferSize(usize);

impl BufferSize {
    /// The smallest size.
    pub const MIN: Self = Self(1);
    /// The largest size.
    pub const MAX: Self = Self(16 << 20);

    /// Returns a size that is checked at compile time.
    pub const fn of<const BYTES: usize>() -> Self {
        const {
            assert!(
                BYTES >= Self::MIN.0 && BYTES <= Self::MAX.0,
                "a buffer has 1 to 16777216 bytes"
            );
        }
        Self(BYTES)
    }

    /// Returns a size that is checked at run time; `EINVAL` if it is out of range.
    pub const fn new(bytes: usize) -> Result<Self> {
        if bytes >= Self::MIN.0 && bytes <= Self::MAX.0 {
            Ok(Self(bytes))
        } else {
            Err(EINVAL)
        }
    }

    /// Returns the size in bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

/// A boxed [`Queue`] of bytes: no larger than a pointer, because it is moved often.
pub(crate) struct Buffer(KBox<Queue>);

/// A queue of bytes with a fixed capacity.
///
/// The memory is zeroed when it is allocated and wiped before it is freed. In between, only bytes
/// that were put into the queue can come out of it.
///
/// Received bytes may stay in the pages in which they arrived until the handler looks at them. So
/// large amounts that are forwarded unseen are not copied.
///
/// # Invariants
///
/// - `start + here <= memory.len()`, and each of the `here` bytes of `memory` from `start` on was
///   received from a stream, read from a file or copied from a slice.
/// - The bytes in `pages` follow those in `memory`. Both together are at most `memory.len()` bytes.
pub(crate) struct Queue {
    memory: KVVec<u8>,
    start: usize,
    here: usize,
    pages: Pages,
    /// Number of receptions that are still copied, because a handler has looked at bytes in pages.
    copies_left: u8,
}

/// The smallest reception in bytes that is taken as pages; fewer bytes are cheaper to copy.
pub(crate) const MUCH: usize = crate::shim::layout::KTCP_PAGES_LEAST;

/// Number of receptions to copy before pages are tried again.
const COPIES_AFTER_LOOK: u8 = 100;

impl Buffer {
    /// Allocates an empty buffer. May sleep.
    pub(crate) fn new(size: BufferSize) -> Result<Self> {
        Self::with(KVVec::from_elem(0, size.bytes(), GFP_KERNEL)?, GFP_KERNEL)
    }

    /// Like [`new`](Self::new), but without sleeping, and so more likely to fail. Any context.
    pub(crate) fn new_atomic(size: BufferSize) -> Result<Self> {
        let flags = GFP_NOWAIT | __GFP_NOWARN;
        // `KVec`, because kvmalloc() may sleep whatever the flags.
        let memory = KVec::from_elem(0, size.bytes(), flags)?;
        let (pointer, length, capacity) = memory.into_raw_parts();
        // SAFETY: These are the parts of a vector, and kvfree() and kvrealloc() accept memory of
        // kmalloc().
        let memory = unsafe { KVVec::from_raw_parts(pointer, length, capacity) };
        Self::with(memory, flags)
    }

    fn with(memory: KVVec<u8>, flags: Flags) -> Result<Self> {
        // INVARIANT: The queue is empty.
        let queue = Queue {
            memory,
            start: 0,
            here: 0,
            pages: Pages::default(),
            copies_left: 0,
        };
        Ok(Self(KBox::new(queue, flags)?))
    }

    /// Moves as many bytes of `other` here as fit, and returns their number.
    #[inline]
    pub(crate) fn append_from(&mut self, other: &mut Self) -> usize {
        if self.is_empty() && self.memory.len() == other.memory.len() {
            // Swapping the memory avoids a copy.
            core::mem::swap(self, other);
            self.len()
        } else {
            self.append_copy_of(other)
        }
    }

    fn append_copy_of(&mut self, other: &mut Self) -> usize {
        other.gather();
        let count = self.append(other.filled());
        other.consume(count);
        count
    }
}

impl Deref for Buffer {
    type Target = Queue;

    #[inline]
    fn deref(&self) -> &Queue {
        &self.0
    }
}

impl DerefMut for Buffer {
    #[inline]
    fn deref_mut(&mut self) -> &mut Queue {
        &mut self.0
    }
}

impl Queue {
    /// Returns the number of bytes in the queue.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.here + self.pages.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.here == 0 && self.is_gathered()
    }

    /// Returns the number of further bytes that fit.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.memory.len() - self.len()
    }

    /// Returns the bytes in the queue, which have to be [gathered](Self::gather).
    pub(crate) fn filled(&self) -> &[u8] {
        debug_assert!(self.is_gathered());
        &self.memory[self.start..][..self.here]
    }

    /// Returns true if [`filled`](Self::filled) returns all bytes.
    #[inline]
    pub(crate) fn is_gathered(&self) -> bool {
        self.pages.len() == 0
    }

    /// Copies the bytes in pages into the memory, behind the others.
    #[inline]
    pub(crate) fn gather(&mut self) {
        if !self.is_gathered() {
            self.copy_pages();
        }
    }

    #[cold]
    fn copy_pages(&mut self) {
        self.compact();
        self.pages.copy_to(&mut self.memory[self.here..]);
        // INVARIANT: These bytes were just copied, and are removed from the pages below.
        self.here += self.pages.len();
        self.pages.consume(usize::MAX);
    }

    /// Like [`gather`](Self::gather), for a handler that looks at the bytes, and so is expected to
    /// look at later ones.
    pub(crate) fn gather_to_see(&mut self) {
        self.gather();
        self.copies_left = COPIES_AFTER_LOOK;
    }

    /// Removes `count` bytes from the front, or all if there are fewer.
    #[inline]
    pub(crate) fn consume(&mut self, count: usize) {
        if count < self.here {
            // INVARIANT: The end stays the same.
            self.start += count;
            self.here -= count;
            return;
        }
        let rest = count - self.here;
        // INVARIANT: No byte is left in `memory`. `start` is 0 because that leaves the most room
        // behind.
        (self.start, self.here) = (0, 0);
        if rest > 0 {
            self.pages.consume(rest);
        }
    }

    /// Moves the bytes to the front of the memory, so that all the room is behind them.
    #[inline]
    fn compact(&mut self) {
        if self.start > 0 {
            self.move_to_front();
        }
    }

    fn move_to_front(&mut self) {
        self.memory
            .copy_within(self.start..self.start + self.here, 0);
        // INVARIANT: The same bytes start at 0 now.
        self.start = 0;
    }

    /// Appends as many bytes of `data` as fit, and returns their number.
    pub(crate) fn append(&mut self, data: &[u8]) -> usize {
        self.gather();
        let count = data.len().min(self.room());
        if self.memory.len() - self.start - self.here < count {
            self.compact();
        }
        self.memory[self.start + self.here..][..count].copy_from_slice(&data[..count]);
        // INVARIANT: These bytes were just copied.
        self.here += count;
        count
    }

    /// Appends bytes that `stream` has received. Returns their number, 0 at the end of the stream,
    /// and true if there are more. `much` is true if [many](MUCH) bytes are expected.
    ///
    /// Fails with `EAGAIN` if nothing is received, with `ENOBUFS` if there is no room, and with
    /// `bh` like [`TcpStream::read_atomic`]. Without `bh` it may sleep, but not for the peer.
    #[inline]
    pub(crate) fn receive(
        &mut self,
        stream: &TcpStream,
        bh: Option<BhToken<'_>>,
        much: bool,
    ) -> Result<(usize, bool)> {
        if much {
            if let Some(received) = self.receive_pages(stream, bh) {
                return Ok(received);
            }
        }
        self.gather();
        self.compact();
        let spare = &mut self.memory[self.here..];
        if spare.is_empty() {
            return Err(ENOBUFS);
        }
        let (count, more) = match bh {
            None => stream.read_ready(spare)?,
            Some(bh) => stream.read_atomic(bh, spare)?,
        };
        // INVARIANT: The stream has written `count` bytes to the start of `spare`.
        self.here += count.min(spare.len());
        Ok((count, more))
    }

    /// Takes received bytes as pages, if that is possible and worthwhile.
    fn receive_pages(
        &mut self,
        stream: &TcpStream,
        bh: Option<BhToken<'_>>,
    ) -> Option<(usize, bool)> {
        self.copies_left = self.copies_left.saturating_sub(1);
        if self.copies_left > 0 || !self.is_empty() {
            return None;
        }
        // INVARIANT: At most `memory.len()` bytes are taken, and the queue is empty.
        let received = stream.read_pages(bh, &mut self.pages, self.memory.len());
        // If memory for the references is short, or the bytes are not in pages, the caller copies
        // them.
        received.ok().filter(|&(count, _)| count > 0)
    }

    /// Appends bytes of `file` from `position` on, as many as fit but at most `most`, and returns
    /// their number.
    pub(crate) fn read_from(
        &mut self,
        file: &File,
        position: u64,
        most: u64,
        wait: Wait,
    ) -> Result<usize> {
        self.gather();
        self.compact();
        let spare = &mut self.memory[self.here..];
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(spare.len());
        let spare = &mut spare[..most];
        if spare.is_empty() {
            return Ok(0);
        }
        let count = file.read_at(spare, position, wait)?.min(spare.len());
        // INVARIANT: `count` bytes of the file were read to the start of `spare`.
        self.here += count;
        Ok(count)
    }

    /// Sends bytes from the front to `stream`, removes them and returns their number. `more` is
    /// true if more bytes follow at once.
    ///
    /// Fails like [`TcpStream::try_write`], or with `bh` like [`TcpStream::write_atomic`]. Without
    /// `bh` it may sleep, but not for the peer.
    #[inline(always)]
    pub(crate) fn send(
        &mut self,
        stream: &TcpStream,
        fragment: &mut Fragment,
        bh: Option<BhToken<'_>>,
        more: bool,
    ) -> Result<usize> {
        let here = &self.memory[self.start..][..self.here];
        let sent = match bh {
            _ if here.is_empty() => stream.write_pages(bh, fragment, &self.pages)?,
            None => stream.try_write_with(here, more)?,
            Some(bh) => stream.write_atomic(bh, fragment, here)?,
        };
        self.consume(sent);
        Ok(sent)
    }

    /// Empties the queue, and discards bytes that `stream` has received, at most as many as the
    /// queue can hold. Returns the number of the latter; `EAGAIN` if there are none. May sleep, but
    /// not for the peer.
    pub(crate) fn discard(&mut self, stream: &TcpStream) -> Result<usize> {
        self.consume(usize::MAX);
        stream.try_read(&mut self.memory)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: The pointer and the length are those of a slice that we borrow mutably.
        unsafe { shim::ktcp_wipe(self.memory.as_mut_ptr().cast(), self.memory.len()) };
    }
}

#[cfg(CONFIG_KTCP_KUNIT_TEST)]
#[kunit_tests(ktcp_buffer)]
mod tests {
    use super::*;

    #[test]
    fn starts_zeroed_and_empty() -> Result {
        let buffer = Buffer::new(BufferSize::of::<100>())?;
        assert!(buffer.filled().is_empty());
        assert_eq!(buffer.room(), 100);
        assert!(buffer.memory.iter().all(|&byte| byte == 0));
        Ok(())
    }

    #[test]
    fn takes_what_fits_and_keeps_the_order() -> Result {
        let mut buffer = Buffer::new(BufferSize::of::<4>())?;
        assert_eq!(buffer.append(b"abcdef"), 4);
        assert_eq!(buffer.append(b"g"), 0);
        buffer.consume(3);
        // The room is before the "d", not behind it.
        assert_eq!(buffer.append(b"efgh"), 3);
        assert_eq!(buffer.filled(), b"defg");
        assert_eq!(buffer.room(), 0);
        Ok(())
    }

    #[test]
    fn moving_keeps_the_order_and_leaves_what_does_not_fit() -> Result {
        let (mut from, mut to) = (
            Buffer::new(BufferSize::of::<6>())?,
            Buffer::new(BufferSize::of::<6>())?,
        );
        from.append(b"abcd");
        assert_eq!(to.append_from(&mut from), 4);
        assert_eq!(to.filled(), b"abcd");
        assert!(from.is_empty());

        from.append(b"efgh");
        assert_eq!(to.append_from(&mut from), 2);
        assert_eq!(to.filled(), b"abcdef");
        assert_eq!(from.filled(), b"gh");

        let mut small = Buffer::new(BufferSize::of::<1>())?;
        assert_eq!(small.append_from(&mut from), 1);
        assert_eq!((small.filled(), from.filled()), (&b"g"[..], &b"h"[..]));
        Ok(())
    }

    #[test]
    fn consuming_more_than_there_is_consumes_all() -> Result {
        let mut buffer = Buffer::new(BufferSize::of::<4>())?;
        buffer.append(b"ab");
        buffer.consume(usize::MAX);
        assert!(buffer.filled().is_empty());
        assert_eq!(buffer.append(b"wxyz"), 4);
        buffer.consume(0);
        assert_eq!(buffer.filled(), b"wxyz");
        Ok(())
    }
}
