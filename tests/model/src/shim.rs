// SPDX-License-Identifier: GPL-2.0

//! The C functions of `lib/shim/` that the lock-free parts call.

use kernel::task;

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
