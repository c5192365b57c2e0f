// SPDX-License-Identifier: GPL-2.0

//! The context of the caller: whether it may sleep, and whether it is a worker.
//!
//! C header: [`include/linux/preempt.h`](srctree/include/linux/preempt.h)

use crate::shim;
use kernel::prelude::*;

/// Returns true if the caller must not sleep: in a softirq, with softirqs or interrupts disabled, under
/// a spinlock, or in an RCU read-side critical section.
///
/// A kernel without `CONFIG_PREEMPT_COUNT` does not know of a plain spinlock, nor one without
/// `CONFIG_PREEMPT_RCU` of RCU. Any context.
pub(crate) fn must_not_sleep() -> bool {
    // SAFETY: Only reads counts of the current task and CPU.
    unsafe { shim::ktcp_must_not_sleep() }
}

/// Fails with `EBUSY` where the caller must not sleep.
///
/// For functions of the library that sleep: a handler that has promised not to, and calls one all the
/// same, gets an error instead of a scheduler in softirq context. Any context.
pub(crate) fn may_sleep() -> Result {
    if must_not_sleep() {
        Err(EBUSY)
    } else {
        Ok(())
    }
}

/// Returns true if the current task runs an item of some workqueue. In a task that may sleep.
#[inline]
pub(crate) fn in_worker() -> bool {
    // SAFETY: Only reads flags of the current task.
    unsafe { shim::ktcp_in_worker() }
}
