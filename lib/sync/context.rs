// SPDX-License-Identifier: GPL-2.0

//! The context of the caller.
//!
//! C header: [`include/linux/preempt.h`](srctree/include/linux/preempt.h)

use crate::shim;
use kernel::prelude::*;

/// Returns true if the caller must not sleep: in a softirq, with softirqs or interrupts disabled,
/// under a spinlock, or in an RCU read-side critical section. Any context.
///
/// Without `CONFIG_PREEMPT_COUNT` the kernel does not detect a plain spinlock, and without
/// `CONFIG_PREEMPT_RCU` it does not detect an RCU read-side critical section.
pub(crate) fn must_not_sleep() -> bool {
    // SAFETY: The function only reads counters of the current task and CPU.
    unsafe { shim::ktcp_must_not_sleep() }
}

/// Fails with `EBUSY` if the caller must not sleep. Any context.
///
/// Functions of the library that sleep call this first. A handler that has promised not to sleep,
/// and calls such a function anyway, gets an error instead of scheduling in softirq context.
pub(crate) fn may_sleep() -> Result {
    if must_not_sleep() {
        Err(EBUSY)
    } else {
        Ok(())
    }
}

/// Returns true if the current task is a worker that runs a work item. In a task that may sleep.
#[inline]
pub(crate) fn in_worker() -> bool {
    // SAFETY: The function only reads flags of the current task.
    unsafe { shim::ktcp_in_worker() }
}
