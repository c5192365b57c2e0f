// SPDX-License-Identifier: GPL-2.0

//! Substitutes for functions that the `kernel` crate of older kernels lacks.
//!
//! The library never tests the version of the kernel: it uses a substitute on every kernel if one
//! kernel needs it.

use kernel::time::Delta;

/// Converts a [`Delta`] to milliseconds, rounded up: a timeout of that length never ends early.
pub(crate) fn millis_ceil(delta: Delta) -> i64 {
    let whole = delta.as_millis();
    whole.saturating_add((delta > Delta::from_millis(whole)).into())
}

#[cfg(CONFIG_KTCP_KUNIT_TEST)]
#[kernel::prelude::kunit_tests(ktcp_compat)]
mod tests {
    use super::*;

    #[test]
    fn a_begun_millisecond_counts() {
        assert_eq!(millis_ceil(Delta::ZERO), 0);
        assert_eq!(millis_ceil(Delta::from_nanos(1)), 1);
        assert_eq!(millis_ceil(Delta::from_nanos(999_999)), 1);
        assert_eq!(millis_ceil(Delta::from_millis(1)), 1);
        assert_eq!(millis_ceil(Delta::from_nanos(1_000_001)), 2);
        assert_eq!(millis_ceil(Delta::from_nanos(-1)), 0);
        assert_eq!(millis_ceil(Delta::from_nanos(-1_000_001)), -1);
    }
}
