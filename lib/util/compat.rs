// SPDX-License-Identifier: GPL-2.0

//! Parts that the `kernel` crate of older kernels lacks, written so that it works on all of them.
//!
//! Nothing here or elsewhere asks for the version of the kernel: what is missing in one of them is
//! done without in the others too.

use kernel::time::Delta;

/// [`Delta`] in milliseconds, rounded up: what is waited for is over when they have passed.
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
