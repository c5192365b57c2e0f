// SPDX-License-Identifier: GPL-2.0

//! Pauses that grow while an error persists.

use kernel::time::Delta;

/// The pause before the next try: 1 ms at first, doubled after each failure, 1 s at most.
pub(crate) struct Backoff {
    millis: i64,
}

impl Backoff {
    const FIRST: i64 = 1;
    const LONGEST: i64 = 1000;

    pub(crate) const fn new() -> Self {
        Self {
            millis: Self::FIRST,
        }
    }

    /// Resets the pause to 1 ms. Called after a try that succeeded.
    pub(crate) fn reset(&mut self) {
        self.millis = Self::FIRST;
    }

    /// Returns the pause to make now, and doubles the next one.
    pub(crate) fn next_pause(&mut self) -> Delta {
        let pause = Delta::from_millis(self.millis);
        self.millis = (self.millis * 2).min(Self::LONGEST);
        pause
    }
}

#[cfg(CONFIG_KTCP_KUNIT_TEST)]
#[kernel::macros::kunit_tests(ktcp_backoff)]
mod tests {
    use super::*;

    #[test]
    fn doubles_up_to_a_second_and_starts_again() {
        let mut backoff = Backoff::new();
        for millis in [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000, 1000] {
            assert_eq!(backoff.next_pause().as_millis(), millis);
        }
        backoff.reset();
        assert_eq!(backoff.next_pause().as_millis(), 1);
    }
}
