// SPDX-License-Identifier: GPL-2.0

//! Memory for bytes from and to the network.

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

    /// A size known to the compiler, which refuses one that is out of range.
    pub const fn of<const BYTES: usize>() -> Self {
        const {
            assert!(
                BYTES >= Self::MIN.0 && BYTES <= Self::MAX.0,
                "a buffer has 1 to 16777216 bytes"
            );
        }
        Self(BYTES)
    }

    /// A size that is checked now: `EINVAL` when it is out of range.
    pub const fn new(bytes: usize) -> Result<Self> {
        if bytes >= Self::MIN.0 && bytes <= Self::MAX.0 {
            Ok(Self(bytes))
        } else {
            Err(EINVAL)
        }
    }

    /// The size in bytes.
    pub const fn bytes(self) -> usize {
        self.0
    }
}

/// A [`Queue`] of bytes, no larger than a pointer: it changes hands all the time.
pub(crate) struct Buffer(KBox<Queue>);

/// A queue of bytes with a fixed capacity.
///
/// The memory is zeroed when it is allocated and wiped before it is freed; in between only bytes
/// that were put into the queue can come out of it.
///
/// What is received may stay in the pages in which it came until the handler looks at it: much that
/// is sent on unseen is not copied.
///
/// # Invariants
///
/// - `start + here <= memory.len()`, and each of the `here` bytes of `memory` from `start` on was
///   received from a stream, read from a file or copied from a slice.
/// - What is in `pages` comes behind that. Both together are not longer than `memory`.
pub(crate) struct Queue {
    memory: KVVec<u8>,
    start: usize,
    here: usize,
    pages: Pages,
    /// Number of receptions that are still copied at once, for a handler has looked at what is in pages.
    seen: u8,
}

/// The least number of bytes, received at once, that are taken as pages: to copy fewer costs less.
pub(crate) const MUCH: usize = crate::shim::layout::KTCP_PAGES_LEAST;

/// Number of receptions that are copied before pages are tried again.
const SEEN: u8 = 100;

impl Buffer {
    /// An empty buffer. May sleep.
    pub(crate) fn new(size: BufferSize) -> Result<Self> {
        Self::with(KVVec::from_elem(0, size.bytes(), GFP_KERNEL)?, GFP_KERNEL)
    }

    /// Like [`new`](Self::new), in any context, but does not try hard.
    pub(crate) fn new_atomic(size: BufferSize) -> Result<Self> {
        let flags = GFP_NOWAIT | __GFP_NOWARN;
        // Not by kvmalloc(), which may sleep whatever the flags.
        let memory = KVec::from_elem(0, size.bytes(), flags)?;
        let (pointer, length, capacity) = memory.into_raw_parts();
        // SAFETY: These are the parts of a vector, and what kmalloc() has allocated is for kvfree()
        // and kvrealloc() too.
        let memory = unsafe { KVVec::from_raw_parts(pointer, length, capacity) };
        Self::with(memory, flags)
    }

    fn with(memory: KVVec<u8>, flags: Flags) -> Result<Self> {
        // INVARIANT: Nothing is in it.
        let queue = Queue {
            memory,
            start: 0,
            here: 0,
            pages: Pages::default(),
            seen: 0,
        };
        Ok(Self(KBox::new(queue, flags)?))
    }

    /// Moves as much of `other` here as fits, and says how much that was.
    #[inline]
    pub(crate) fn append_from(&mut self, other: &mut Self) -> usize {
        if self.is_empty() && self.memory.len() == other.memory.len() {
            // Each takes the other's memory, and nothing is copied.
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
    /// Returns how many bytes are in the queue.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.here + self.pages.len()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.here == 0 && self.is_gathered()
    }

    /// Returns how many more bytes fit.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        self.memory.len() - self.len()
    }

    /// The bytes in the queue, when they are [all in one place](Self::gather).
    pub(crate) fn filled(&self) -> &[u8] {
        debug_assert!(self.is_gathered());
        &self.memory[self.start..][..self.here]
    }

    /// Returns true if [`filled`](Self::filled) are all bytes.
    #[inline]
    pub(crate) fn is_gathered(&self) -> bool {
        self.pages.len() == 0
    }

    /// Copies what is in pages to behind the other bytes.
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
        // INVARIANT: These bytes were just copied; they are in the pages no more.
        self.here += self.pages.len();
        self.pages.consume(usize::MAX);
    }

    /// Like [`gather`](Self::gather), for one who wants to see them and so will another time.
    pub(crate) fn gather_to_see(&mut self) {
        self.gather();
        self.seen = SEEN;
    }

    /// Removes `count` bytes from the front, or all when there are fewer.
    #[inline]
    pub(crate) fn consume(&mut self, count: usize) {
        if count < self.here {
            // INVARIANT: The same end.
            self.start += count;
            self.here -= count;
            return;
        }
        let rest = count - self.here;
        // INVARIANT: Nothing is in the memory. At its front there is the most room behind.
        (self.start, self.here) = (0, 0);
        if rest > 0 {
            self.pages.consume(rest);
        }
    }

    /// Moves the contents to the front of the memory, so that all the room is behind them.
    #[inline]
    fn compact(&mut self) {
        if self.start > 0 {
            self.move_to_front();
        }
    }

    fn move_to_front(&mut self) {
        self.memory
            .copy_within(self.start..self.start + self.here, 0);
        // INVARIANT: The same bytes, elsewhere.
        self.start = 0;
    }

    /// Appends as much of `data` as fits, and says how much that was.
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

    /// Appends what `stream` has received, and says how much that was and whether there is more; 0
    /// is the end of the stream. `much` says that it is expected to be [much](MUCH).
    ///
    /// `EAGAIN` when there is nothing, `ENOBUFS` when there is no room, and with `bh` the
    /// errors of [`TcpStream::read_atomic`]. May sleep, but not for the peer, if not.
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
        // INVARIANT: The stream wrote that many bytes to the start of `spare`.
        self.here += count.min(spare.len());
        Ok((count, more))
    }

    /// Takes the pages of what `stream` has received, if that is possible and of use.
    fn receive_pages(
        &mut self,
        stream: &TcpStream,
        bh: Option<BhToken<'_>>,
    ) -> Option<(usize, bool)> {
        self.seen = self.seen.saturating_sub(1);
        if self.seen > 0 || !self.is_empty() {
            return None;
        }
        // INVARIANT: No more than there is room for.
        let received = stream.read_pages(bh, &mut self.pages, self.memory.len());
        // Without memory for the references, or without pages, it is copied.
        received.ok().filter(|&(count, _)| count > 0)
    }

    /// Appends what `file` has from `position` on, as much as fits but at most `most` bytes; says
    /// how much that was.
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
        // INVARIANT: The file was read to the start of `spare`, that many bytes.
        self.here += count;
        Ok(count)
    }

    /// Has `stream` send from the front, and says how many bytes; with the errors of
    /// [`TcpStream::try_write`], or of [`TcpStream::write_atomic`] with `bh`. May sleep, but
    /// not for the peer, if not. `more` says that more follows at once.
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

    /// Empties the queue and reads past what `stream` holds at this moment; says how many bytes
    /// that were, `EAGAIN` when there was nothing. May sleep, but not for the peer.
    pub(crate) fn discard(&mut self, stream: &TcpStream) -> Result<usize> {
        self.consume(usize::MAX);
        stream.try_read(&mut self.memory)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: The pointer and the length are those of one slice that we borrow mutably.
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
        // There is no room behind the "d", only before it.
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
