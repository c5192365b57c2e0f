// SPDX-License-Identifier: GPL-2.0

//! Callbacks of a socket that are called after they were replaced, by code that read them before.

use kernel::prelude::*;

#[kunit_tests(ktcp_watch)]
mod tests {
    use super::*;
    use kernel::error::to_result;

    /// `struct ktcp_kunit_told` of `kunit.h`.
    #[repr(C)]
    #[derive(Default)]
    struct Told {
        watched: c_uint,
        watcher: c_uint,
        stranger: c_uint,
    }

    extern "C" {
        fn ktcp_kunit_late_events(told: *mut Told) -> c_int;
    }

    #[test]
    fn an_event_that_comes_too_late_is_told_to_nobody() -> Result {
        let mut told = Told::default();
        // SAFETY: `told` is valid for a write, and tests may sleep.
        to_result(unsafe { ktcp_kunit_late_events(&raw mut told) })?;
        // Three callbacks, each with softirqs on and off.
        assert_eq!(told.watched, 6);
        // No more calls reach the watch once it is taken off.
        assert_eq!(told.watcher, 6);
        // Nor do they reach the user who has claimed the socket since.
        assert_eq!(told.stranger, 0);
        Ok(())
    }
}
