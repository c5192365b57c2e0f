// SPDX-License-Identifier: GPL-2.0

//! The CPUs of the machine, and its coarse clock.
//!
//! C header: [`include/linux/cpumask.h`](srctree/include/linux/cpumask.h)

use crate::shim;
use kernel::bindings;

/// The time in jiffies. Any context.
pub(crate) fn jiffies() -> usize {
    // SAFETY: A word that C writes; whichever value is read is a time of this moment.
    unsafe { (&raw const bindings::jiffies).read_volatile() }
}

/// Returns true if there is such a CPU, online or not. Any context.
pub(crate) fn is_present(cpu: u32) -> bool {
    // SAFETY: Any number may be asked for.
    unsafe { shim::ktcp_cpu_present(cpu) }
}

/// Returns true if this CPU does work of the kernel: an operator has not isolated it. Any context.
pub(crate) fn is_housekeeping(cpu: u32) -> bool {
    // SAFETY: Any number may be asked for.
    unsafe { shim::ktcp_cpu_is_housekeeping(cpu) }
}
