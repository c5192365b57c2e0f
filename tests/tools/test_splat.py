# SPDX-License-Identifier: GPL-2.0

from __future__ import annotations

import pytest

from ktcp import splat

HEALTHY = """\
[    0.000000] Linux version 7.3.4+deb13-cloud-amd64
[    0.012345] Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on, data leaks possible
[    0.210000] debug: unmapping init [mem 0xffffffff83e00000-0xffffffff841fffff]
[    1.100000] rcu: Hierarchical RCU implementation.
[    2.300000] kecho: listening on 0.0.0.0:12345
[    2.400000] ktcp_server: loading out-of-tree module taints kernel.
[    2.500000] sysrq: Show Blocked State
"""

COMPLAINTS = [
    "[    3.1] BUG: kernel NULL pointer dereference, address: 0000000000000008",
    "[    3.1] BUG: unable to handle page fault for address: ffffffffc0a01234",
    "[    3.1] WARNING: CPU: 1 PID: 77 at lib/refcount.c:28 refcount_warn_saturate+0xba/0x110",
    "[    3.1] WARNING: lib/refcount.c:28 at refcount_warn_saturate+0xba/0x110, CPU#1: kecho/77",
    "[    3.1][   T77] WARNING: possible circular locking dependency detected",
    "[    3.1] ------------[ cut here ]------------",
    "[    3.1] refcount_t: underflow; use-after-free.",
    "[    3.1] Oops: general protection fault, probably for non-canonical address",
    "[    3.1] Call Trace:",
    "[    3.1][ C1] Kernel panic - not syncing: Fatal exception in interrupt",
    "[    3.1] BUG: KASAN: slab-use-after-free in _R4kecho+0x12",
    "[    3.1] unregister_netdevice: waiting for lo to become free. Usage count = 2",
    "[    3.1] INFO: task rmmod:88 blocked for more than 120 seconds.",
    "[    3.1] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
    "[    3.1] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [kecho/accept:70]",
    "[    3.1] rust_kernel: panicked at lib/buffer.rs:12:5:",
    "[    3.1] kecho/1: page allocation failure: order:4, mode:0x40cc0",
    "[    3.1] nc invoked oom-killer: gfp_mask=0x140cca, order=0",
    "<4>[    3.1] BUG: sleeping function called from invalid context at net/core/sock.c:3700",
    "BUG: a line without any prefix",
]


def test_healthy_log_has_no_complaint() -> None:
    assert splat.find(HEALTHY) == ""
    assert splat.find("") == ""


@pytest.mark.parametrize("complaint", COMPLAINTS)
def test_complaint_is_found(complaint: str) -> None:
    assert complaint in splat.find(f"{HEALTHY}{complaint}\n{HEALTHY}")


def test_complaint_is_shown_with_what_stands_around() -> None:
    lines = [f"[    1.0] line {number}" for number in range(100)]
    lines[50] = "[    1.0] BUG: here"
    shown = splat.find("\n".join(lines)).splitlines()
    assert shown[: splat.BEFORE] == lines[50 - splat.BEFORE : 50]
    assert shown[-1] == lines[50 + splat.AFTER - 1]


SHORTAGE = """\
[   12.1] kthreadd: vmalloc error: size 32768, failed to allocate pages, mode:0xdc2, nodemask=(null)
[   12.1] CPU: 0 UID: 0 PID: 2 Comm: kthreadd
[   12.1] Call Trace:
[   12.1]  <TASK>
[   12.1]  dump_stack_lvl+0x5d/0x80
[   12.1]  </TASK>
[   12.1] Mem-Info:
"""


def test_reports_of_missing_memory_can_be_looked_past() -> None:
    assert "vmalloc error" in splat.find(SHORTAGE)
    assert splat.find(splat.without_shortages(SHORTAGE)) == ""
    both = splat.without_shortages(f"{SHORTAGE}{COMPLAINTS[0]}\n{SHORTAGE}")
    assert COMPLAINTS[0] in splat.find(both)
