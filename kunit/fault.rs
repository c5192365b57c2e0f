// SPDX-License-Identifier: GPL-2.0

//! Allocations that fail when a test wants them to, and counts of the tasks and sockets that remain.

use kernel::{
    error::to_result,
    prelude::*, //
};

extern "C" {
    fn ktcp_kunit_fault_setup() -> c_int;
    fn ktcp_kunit_fault_quiet(quiet: bool);
    fn ktcp_kunit_fault_arm(nth: c_uint);
    fn ktcp_kunit_fault_arm_tasks(prefix: *const c_char, nth: c_uint) -> c_uint;
    fn ktcp_kunit_fault_disarm() -> bool;
    fn ktcp_kunit_tasks(prefix: *const c_char) -> c_uint;
    fn ktcp_kunit_sockets() -> c_int;
}

/// Makes all kinds of allocations fail that are armed below.
pub(crate) fn setup() -> Result {
    // SAFETY: May be called from any task that can sleep, which tests can.
    to_result(unsafe { ktcp_kunit_fault_setup() })
}

/// Has the `nth` allocation fail that the current task makes from now on.
pub(crate) fn arm_current(nth: u32) {
    // SAFETY: May be called from any task.
    unsafe { ktcp_kunit_fault_arm(nth) }
}

/// Has the `nth` allocation fail of each task whose name begins with `prefix`; returns the number of
/// these tasks.
pub(crate) fn arm_tasks(prefix: &CStr, nth: u32) -> u32 {
    // SAFETY: May be called from any task, and the string ends with a NUL.
    unsafe { ktcp_kunit_fault_arm_tasks(prefix.as_char_ptr(), nth) }
}

/// Like [`arm_tasks`] for the task that makes threads. The kernel warns when it has no memory for
/// a stack; until [`disarm`] that is not shown.
pub(crate) fn arm_thread_maker(nth: u32) {
    // SAFETY: Only one test at a time fails allocations.
    unsafe { ktcp_kunit_fault_quiet(true) };
    arm_tasks(c"kthreadd", nth);
}

/// Disarms the allocations; returns true if all that were armed have failed.
pub(crate) fn disarm() -> bool {
    // SAFETY: May be called from any task.
    let armed = unsafe { ktcp_kunit_fault_disarm() };
    // SAFETY: Only one test at a time fails allocations.
    unsafe { ktcp_kunit_fault_quiet(false) };
    !armed
}

/// Returns the number of tasks whose name begins with `prefix`.
pub(crate) fn tasks(prefix: &CStr) -> u32 {
    // SAFETY: May be called from any task, and the string ends with a NUL.
    unsafe { ktcp_kunit_tasks(prefix.as_char_ptr()) }
}

/// Returns the number of sockets.
pub(crate) fn sockets() -> i32 {
    // SAFETY: May be called from any task.
    unsafe { ktcp_kunit_sockets() }
}
