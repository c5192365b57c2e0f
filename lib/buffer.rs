// SPDX-License-Identifier: GPL-2.0

//! Memory for bytes from and to the network.

use crate::{
    error::ENOBUFS,
    fs::{
        File,
        Wait, //
    },
    net::TcpStream,
    shim, //
};
use kernel::prelude::*;

/// The size of a buffer in bytes: at least 1, at most 16 MiB.
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

/// A queue of bytes with a fixed capacity.
///
/// The memory is zeroed when it is allocated and wiped before it is freed; in between only bytes
/// that were put into the queue can come out of it.
///
/// # Invariants
///
/// `start <= end <= memory.len()`, and each byte of `memory[start..end]` was received from a
/// stream, read from a file or copied from a slice.
pub(crate) struct Buffer {
    memory: KVVec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    /// An empty buffer. May sleep.
    pub(crate) fn new(size: BufferSize) -> Result<Self> {
        // INVARIANT: Nothing is in it.
        Ok(Self {
            memory: KVVec::from_elem(0, size.bytes(), GFP_KERNEL)?,
            start: 0,
            end: 0,
        })
    }

    /// The bytes in the queue.
    pub(crate) fn filled(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// How many more bytes fit.
    pub(crate) fn room(&self) -> usize {
        self.memory.len() - (self.end - self.start)
    }

    /// Removes `count` bytes from the front, or all when there are fewer.
    pub(crate) fn consume(&mut self, count: usize) {
        // INVARIANT: `start` stays within `end`. At the front of the memory there is the most room
        // behind, and an empty queue can go there for nothing.
        self.start += count.min(self.end - self.start);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Moves the contents to the front of the memory, so that all the room is behind them.
    fn compact(&mut self) {
        if self.start > 0 {
            self.memory.copy_within(self.start..self.end, 0);
            // INVARIANT: The same bytes, elsewhere.
            (self.start, self.end) = (0, self.end - self.start);
        }
    }

    /// Appends as much of `data` as fits, and says how much that was.
    pub(crate) fn append(&mut self, data: &[u8]) -> usize {
        let count = data.len().min(self.room());
        if self.memory.len() - self.end < count {
            self.compact();
        }
        self.memory[self.end..][..count].copy_from_slice(&data[..count]);
        // INVARIANT: These bytes were just copied.
        self.end += count;
        count
    }

    /// Appends what `stream` has received, and says how much that was and whether there is more; 0
    /// is the end of the stream.
    ///
    /// `EAGAIN` when there is nothing, `ENOBUFS` when there is no room. May sleep, but not for the
    /// peer.
    pub(crate) fn receive(&mut self, stream: &TcpStream) -> Result<(usize, bool)> {
        self.compact();
        let spare = &mut self.memory[self.end..];
        if spare.is_empty() {
            return Err(ENOBUFS);
        }
        let (count, more) = stream.read_ready(spare)?;
        // INVARIANT: The stream wrote that many bytes to the start of `spare`.
        self.end += count.min(spare.len());
        Ok((count, more))
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
        self.compact();
        let spare = &mut self.memory[self.end..];
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(spare.len());
        let spare = &mut spare[..most];
        if spare.is_empty() {
            return Ok(0);
        }
        let count = file.read_at(spare, position, wait)?.min(spare.len());
        // INVARIANT: The file was read to the start of `spare`, that many bytes.
        self.end += count;
        Ok(count)
    }

    /// Moves as much of `other` here as fits, and says how much that was.
    pub(crate) fn append_from(&mut self, other: &mut Self) -> usize {
        if self.is_empty() && self.memory.len() == other.memory.len() {
            // Each takes the other's memory, and nothing is copied.
            core::mem::swap(self, other);
            return self.filled().len();
        }
        let count = self.append(other.filled());
        other.consume(count);
        count
    }

    /// Empties the queue and reads past what `stream` holds at this moment; says how many bytes
    /// that were, `EAGAIN` when there was nothing. May sleep, but not for the peer.
    pub(crate) fn discard(&mut self, stream: &TcpStream) -> Result<usize> {
        // INVARIANT: Nothing is in it.
        (self.start, self.end) = (0, 0);
        stream.try_read(&mut self.memory)
    }
}

impl Drop for Buffer {
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
