# SPDX-License-Identifier: GPL-2.0
"""What an idle connection costs in memory of the library."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ktcp import allocations, vm
from .lab import CROWD, Lab, crowd, crowd_program, eventually, rmmod, statistics

CONNECTIONS = 1000
# The promise of Documentation/module-author.md
BYTES = 1024


@pytest.fixture(scope="module")
def machine(lab: Lab) -> Iterator[vm.Guest]:
    own = Lab(lab.kernel, lab.modules, lab.accel, "memory", files=crowd_program(), memory="2G")
    guest = own.lend()
    guest.must("sysctl -qw net.core.somaxconn=4096")
    yield guest
    own.take_back()
    own.close()


@pytest.mark.parametrize("executor", ("event_loop", "workqueue"))
def test_an_idle_connection_costs_little(machine: vm.Guest, executor: str) -> None:
    machine.must("insmod /modules/ktcp_server.ko")
    machine.must(f"insmod /modules/kecho.ko executor={executor} max_connections={CONNECTIONS}")
    # What is made once is made.
    assert crowd(machine, "ask", clients=20)["complete"] == 20
    assert eventually(lambda: statistics(machine)["open"] == 0)

    allocations.watch(machine)
    holding = machine.start(
        f"ulimit -n 5000; exec {CROWD} hold --clients {CONNECTIONS} --seconds 120", timeout=150
    )
    assert eventually(lambda: statistics(machine)["calls"] >= 20 + CONNECTIONS, 60)
    machine.must("sleep 1")
    left = allocations.left(machine)
    assert statistics(machine)["open"] == CONNECTIONS
    each = {function: round(size / CONNECTIONS) for function, size in left.items()}
    print(f"{executor}: {sum(each.values())} bytes for an idle connection: {each}")
    # Less would say that something was not seen.
    assert 300 < sum(each.values()) <= BYTES, each

    machine.must("killall crowd")
    machine.finish(holding)
    rmmod(machine)
    machine.must("rmmod ktcp_server")
