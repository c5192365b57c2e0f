// SPDX-License-Identifier: GPL-2.0

//! The bytes that are sent.

use std::ops::Range;

/// What is sent at once, at most.
pub const CHUNK: usize = 256 << 10;

/// A prime, so that a stream of messages of any size does not repeat itself in step with them: a
/// reply that belongs to another message is not taken for the right one.
const PERIOD: usize = 65_521;

/// An endless stream of bytes.
pub struct Pattern {
    /// The period, repeated.
    bytes: Vec<u8>,
    period: u64,
    /// Each connection starts so much further on.
    shift: u64,
}

impl Pattern {
    /// One in which neighbouring messages differ, and the connections; the same each time.
    pub fn new() -> Self {
        // The generator of Knuth's MMIX; its upper bits are good enough to tell bytes apart.
        let mut state = 1_u64;
        let period: Vec<u8> = (0..PERIOD)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 56) as u8
            })
            .collect();
        Self {
            shift: 7_919,
            ..Self::repeating(&period)
        }
    }

    /// The same message again and again.
    pub fn repeating(message: &[u8]) -> Self {
        let length = (message.len() + CHUNK).next_multiple_of(message.len());
        Self {
            bytes: message.repeat(length / message.len()),
            period: message.len() as u64,
            shift: 0,
        }
    }

    /// Where the stream of a connection begins.
    pub fn origin(&self, connection: usize) -> u64 {
        connection as u64 * self.shift
    }

    /// The bytes from position `position` of the stream on: `length` of them or, beyond [`CHUNK`],
    /// fewer.
    pub fn at(&self, position: u64, length: u64) -> &[u8] {
        let start = (position % self.period) as usize;
        let range: Range<usize> = start..start + length.min(CHUNK as u64) as usize;
        &self.bytes[range]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_the_same_however_it_is_cut() {
        let pattern = Pattern::new();
        let whole = pattern.at(65_500, 1_000);
        for cut in 0..1_000 {
            let (head, tail) = (
                pattern.at(65_500, cut),
                pattern.at(65_500 + cut, 1_000 - cut),
            );
            assert_eq!([head, tail].concat(), whole);
        }
    }

    #[test]
    fn no_more_than_a_chunk_comes_at_once() {
        let pattern = Pattern::new();
        assert_eq!(pattern.at(65_520, u64::MAX).len(), CHUNK);
    }

    #[test]
    fn a_message_is_repeated() {
        let pattern = Pattern::repeating(b"abc");
        assert_eq!(pattern.at(pattern.origin(5), 7), b"abcabca");
        assert_eq!(pattern.at(5, u64::MAX).len(), CHUNK);
        assert_eq!(pattern.at(5, u64::MAX)[..3], *b"cab");
    }

    #[test]
    fn neighbouring_messages_differ() {
        let pattern = Pattern::new();
        for size in [13, 64, 4096, 65_536] {
            for message in 0..10 {
                let at = |number| pattern.at(number * size, size);
                assert_ne!(at(message), at(message + 1), "{size} bytes");
            }
        }
    }
}
