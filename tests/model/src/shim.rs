// SPDX-License-Identifier: GPL-2.0

//! The C functions of `lib/shim/` that the lock-free parts call.

use kernel::{bindings, task};

/// # Safety
///
/// None here.
pub(crate) unsafe fn ktcp_prepare_to_park() {
    task::current().prepare_to_sleep();
}

/// # Safety
///
/// None here.
pub(crate) unsafe fn ktcp_finish_park() {
    task::current().stay_awake();
}

/// # Safety
///
/// As for [`bindings::wait_for_completion_timeout`].
pub(crate) unsafe fn ktcp_wait_for_completion_timeout(
    x: *mut bindings::completion,
    timeout: usize,
) -> usize {
    // SAFETY: By this function's contract.
    unsafe { bindings::wait_for_completion_timeout(x, timeout) }
}
