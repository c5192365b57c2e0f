// SPDX-License-Identifier: GPL-2.0

//! Spans of time; in a model, no time passes.

/// Milliseconds of C.
pub type Msecs = u32;

/// A span of time, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delta(i64);

impl Delta {
    /// No time.
    pub const ZERO: Self = Self(0);

    /// So many milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis * 1_000_000)
    }

    /// So many seconds.
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs * 1_000_000_000)
    }

    /// Returns the span in milliseconds, rounded towards zero.
    pub const fn as_millis(self) -> i64 {
        self.0 / 1_000_000
    }
}

/// Returns the span in jiffies, of which there are a thousand in a second.
pub fn msecs_to_jiffies(millis: Msecs) -> usize {
    millis as usize
}
