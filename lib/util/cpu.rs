// SPDX-License-Identifier: GPL-2.0

//! The CPUs of the machine, and its coarse clock.
//!
//! C header: [`include/linux/cpumask.h`](srctree/include/linux/cpumask.h)

use crate::shim;
use kernel::bindings;

/// Returns the time in jiffies. Any context.
pub(crate) fn jiffies() -> usize {
    // SAFETY: `jiffies` is an aligned word that is always valid. C updates it meanwhile; each value
    // read is a current time.
    unsafe { (&raw const bindings::jiffies).read_volatile() }
}

/// Returns true if `cpu` is present, online or not. Any context.
pub(crate) fn is_present(cpu: u32) -> bool {
    // SAFETY: The function accepts any number.
    unsafe { shim::ktcp_cpu_present(cpu) }
}

/// Returns true if `cpu` does housekeeping work of the kernel: the operator has not isolated it.
/// Any context.
pub(crate) fn is_housekeeping(cpu: u32) -> bool {
    // SAFETY: The function accepts any number.
    unsafe { shim::ktcp_cpu_is_housekeeping(cpu) }
}

/// Returns the NUMA node of a CPU that is present. Any context.
pub(crate) fn node_of(cpu: u32) -> i32 {
    // SAFETY: By this function's contract there is such a CPU.
    unsafe { shim::ktcp_cpu_to_node(cpu) }
}
