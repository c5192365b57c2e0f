# SPDX-License-Identifier: GPL-2.0
"""What an idle connection costs in memory of the library, by the kernel's own account.

The kernel tells of each allocation how much it took for it, and for whom. All that code in Rust and
the library has allocated since the first connection, and not freed, belongs to the connections.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from ktcp import vm
from .lab import Lab, crowd, crowd_program, eventually, rmmod, statistics

CONNECTIONS = 1000
# The promise of Documentation/module-author.md
BYTES = 1024

TRACING = "/sys/kernel/tracing"
ALLOCATED = re.compile(r" kmalloc: call_site=(\S+)(?: (\[\w+\]))? ptr=(\S+) .*bytes_alloc=(\d+)")
FREED = re.compile(r" kfree: .*ptr=(\S+)")
# Functions in Rust, the one in C by which Rust allocates, and whatever the library has in C
OURS = re.compile(r"_R|rust_helper_|k?v?k?realloc_node_align|ktcp_")


@pytest.fixture(scope="module")
def machine(lab: Lab) -> Iterator[vm.Guest]:
    own = Lab(lab.kernel, lab.modules, lab.accel, "memory", files=crowd_program(), memory="2G")
    guest = own.lend()
    guest.must("sysctl -qw net.core.somaxconn=4096")
    guest.must(f"mount -t tracefs tracefs {TRACING} 2>/dev/null; test -d {TRACING}/events/kmem")
    guest.must(f"echo 0 >{TRACING}/options/hash-ptr; echo 65536 >{TRACING}/buffer_size_kb")
    yield guest
    own.take_back()
    own.close()


def left(trace: str) -> dict[str, int]:
    """How many bytes each function of ours has allocated that nobody has freed."""
    sizes: dict[str, tuple[str, int]] = {}
    for line in trace.splitlines():
        if match := ALLOCATED.search(line):
            function, module, pointer, size = match.groups()
            if module in ("[ktcp_server]", "[kecho]") or OURS.match(function):
                sizes[pointer] = (function.split("+")[0], int(size))
            else:
                sizes.pop(pointer, None)
        elif match := FREED.search(line):
            sizes.pop(match[1], None)
    sums: dict[str, int] = {}
    for function, size in sizes.values():
        sums[function] = sums.get(function, 0) + size
    return sums


def record(guest: vm.Guest, on: bool) -> None:
    for event in ("kmalloc", "kfree"):
        guest.must(f"echo {on:d} >{TRACING}/events/kmem/{event}/enable")


@pytest.mark.parametrize("executor", ("event_loop", "workqueue"))
def test_an_idle_connection_costs_little(machine: vm.Guest, executor: str) -> None:
    machine.must("insmod /modules/ktcp_server.ko")
    machine.must(f"insmod /modules/kecho.ko executor={executor} max_connections={CONNECTIONS}")
    # What is made once is made.
    assert crowd(machine, "ask", n=20)["complete"] == 20
    assert eventually(lambda: statistics(machine)["open"] == 0)

    machine.must(f"echo >{TRACING}/trace")
    record(machine, True)
    holding = machine.start(
        f"ulimit -n 5000; exec /bin/crowd hold n={CONNECTIONS} seconds=120", timeout=150
    )
    assert eventually(lambda: statistics(machine)["calls"] >= 20 + CONNECTIONS, 60)
    machine.must("sleep 1")
    record(machine, False)
    assert statistics(machine)["open"] == CONNECTIONS

    machine.must(f"cat {TRACING}/trace >/tmp/trace")
    assert "overrun: 0" in machine.must(f"cat {TRACING}/per_cpu/cpu0/stats")
    sums = left(machine.pull("/tmp/trace").decode())
    each = {function: round(size / CONNECTIONS) for function, size in sums.items()}
    print(f"{executor}: {sum(each.values())} bytes for an idle connection: {each}")
    # Less would say that something was not seen.
    assert 300 < sum(each.values()) <= BYTES, each

    machine.must("killall crowd; rm /tmp/trace")
    machine.finish(holding)
    rmmod(machine)
    machine.must("rmmod ktcp_server")
