# SPDX-License-Identifier: GPL-2.0
"""Memory that the library has allocated in a guest, by the kernel's own account.

A trace point of the kernel reports the size and the caller of each allocation. Memory that Rust code
and the library have allocated since `watch`, and not freed, is in use by the connections made since.
"""

from __future__ import annotations

import re

from . import ui, vm

TRACING = "/sys/kernel/tracing"
BUFFER_KIB = 1 << 16

ALLOCATED = re.compile(r" kmalloc: call_site=(\S+)(?: (\[\w+\]))? ptr=(\S+) .*bytes_alloc=(\d+)")
FREED = re.compile(r" kfree: .*ptr=(\S+)")
# Functions in Rust, the one in C by which Rust allocates, and those of the library in C
OURS = re.compile(r"_R|rust_helper_|k?v?k?realloc_node_align|ktcp_")
MODULES = ("[ktcp_server]", "[kecho]")


def watch(guest: vm.Guest) -> None:
    """Has the guest note each allocation, until `left` is asked for."""
    guest.must(f"mount -t tracefs tracefs {TRACING} 2>/dev/null; test -d {TRACING}/events/kmem")
    guest.must(f"echo 0 >{TRACING}/options/hash-ptr; echo {BUFFER_KIB} >{TRACING}/buffer_size_kb")
    guest.must(f"echo >{TRACING}/trace")
    _record(guest, True)


def left(guest: vm.Guest) -> dict[str, int]:
    """Returns the bytes that each function of ours has allocated since `watch` and that are not freed."""
    _record(guest, False)
    if lost := re.findall(r"overrun: [1-9]\d*", guest.must(f"cat {TRACING}/per_cpu/cpu*/stats")):
        raise ui.Fail(f"the guest's trace has lost allocations: {', '.join(lost)}")
    guest.must(f"cat {TRACING}/trace >/run/trace", timeout=120)
    trace = guest.pull("/run/trace").decode()
    guest.must(f"rm /run/trace; echo >{TRACING}/trace")
    return sums(trace)


def sums(trace: str) -> dict[str, int]:
    """As `left`, by the text of a trace."""
    sizes: dict[str, tuple[str, int]] = {}
    for line in trace.splitlines():
        if match := ALLOCATED.search(line):
            function, module, pointer, size = match.groups()
            if module in MODULES or OURS.match(function):
                sizes[pointer] = (function.split("+")[0], int(size))
            else:
                sizes.pop(pointer, None)
        elif match := FREED.search(line):
            sizes.pop(match[1], None)
    found: dict[str, int] = {}
    for function, size in sizes.values():
        found[function] = found.get(function, 0) + size
    return found


def _record(guest: vm.Guest, on: bool) -> None:
    for event in ("kmalloc", "kfree"):
        guest.must(f"echo {on:d} >{TRACING}/events/kmem/{event}/enable")
