# SPDX-License-Identifier: GPL-2.0
"""A bad network: clients in a network namespace of their own, behind a line that loses, reorders,
delays and duplicates packets, and that is cut.

Who has finished has received exactly what was sent; who has not finished, the beginning of it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ktcp import userland, vm
from .lab import (
    CROWD,
    EXECUTORS,
    Lab,
    counted,
    crowd_program,
    eventually,
    rmmod,
    script,
    serve,
    statistics,
)


# All lines on all executors take minutes: without `make test-long`, each line has one of them.
LONG = bool(os.environ.get("KTCP_LONG"))

# Of both directions, with TCP's usual answers: retransmission, reordering, duplicates
LINES = {
    "loss": "loss 3% delay 2ms",
    "reordering": "delay 8ms reorder 30% 50% gap 3",
    "jitter": "delay 10ms 8ms duplicate 5%",
    "corruption": "corrupt 2% delay 1ms",
    "all": "delay 6ms 5ms loss 2% duplicate 2% reorder 20%",
}


@pytest.fixture(scope="module")
def network(lab: Lab, proving: Path) -> Iterator[Lab]:
    options = {
        "files": {**crowd_program(), **userland.programs(["ip", "tc"])},
        "drivers": ["veth", "sch_netem"],
    }
    own = Lab(lab.kernel, [*lab.modules, proving], lab.accel, "network", **options)
    own.lend().must(script("line", "far"))
    yield own
    own.close()


@pytest.fixture
def machine(network: Lab) -> Iterator[vm.Guest]:
    guest = network.lend()
    guest.must("insmod /modules/ktcp_server.ko")
    yield guest
    guest.run("/usr/bin/tc qdisc del dev near root")
    network.take_back()


def far(command: str) -> str:
    """A command that runs at the far end of the line."""
    return f"/usr/bin/ip netns exec far {command}"


def degrade(guest: vm.Guest, how: str) -> None:
    guest.must(f"/usr/bin/tc qdisc replace dev near root netem {how}")
    guest.must(far(f"/usr/bin/tc qdisc replace dev beyond root netem {how}"))


def cut(guest: vm.Guest) -> None:
    """Nothing comes through any more, and nobody is told of it."""
    degrade(guest, "loss 100%")


@pytest.mark.parametrize("line", LINES)
def test_nothing_is_lost_or_invented(machine: vm.Guest, line: str) -> None:
    degrade(machine, LINES[line])
    turn = list(LINES).index(line)
    for number, executor in enumerate(EXECUTORS):
        if not LONG and number != turn % len(EXECUTORS):
            continue
        serve(machine, executor, addr="::", output=5000)
        addr = ("10.9.0.1:12345", "[fd09::1]:12345")[number % 2]
        command = f"{CROWD} transfer --clients 8 --bytes 150000 --seed {number} --addr {addr}"
        counts = counted(machine.must(far(command), timeout=90))
        assert counts["complete"] == 8 and counts["corrupt"] == 0, (executor, counts)
        assert eventually(lambda: statistics(machine, "proving")["open"] == 0)
        rmmod(machine, "proving")


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_cut_line_loses_nothing_and_holds_up_no_unloading(
    machine: vm.Guest, executor: str
) -> None:
    """In mid-transfer, for a moment: all arrives. For ever: what arrived is right, and the server
    does not wait for it when it ends."""
    # Its queue is a tenth of a second long.
    slow = "delay 5ms rate 8mbit limit 70"
    degrade(machine, slow)
    serve(machine, executor, addr="::", drain_ms=500)
    command = far(f"{CROWD} transfer --clients 6 --addr 10.9.0.1:12345")
    transfer = machine.start(f"{command} --bytes 400000", timeout=90)
    assert eventually(lambda: statistics(machine, "proving")["bytes_out"] > 100_000)
    for _ in range(2):
        cut(machine)
        machine.must("sleep 0.7")
        degrade(machine, slow)
        machine.must("sleep 0.3")
    outcome = machine.finish(transfer)
    counts = counted(outcome.output)
    assert counts["complete"] == 6, (counts, statistics(machine, "proving"))

    before = statistics(machine, "proving")["bytes_out"]
    transfer = machine.start(f"{command} --bytes 4000000 --until /tmp/over", timeout=90)
    # All of them, for to connect through a line that is cut would take until they give up.
    assert eventually(lambda: statistics(machine, "proving")["open"] == 6)
    assert eventually(lambda: statistics(machine, "proving")["bytes_out"] > before + 100_000)
    cut(machine)
    assert rmmod(machine, "proving") < 5
    # Nobody behind the cut learns of the end; nor is anything invented for them.
    machine.must("sleep 1; touch /tmp/over")
    outcome = machine.finish(transfer)
    machine.must("rm /tmp/over")
    counts = counted(outcome.output)
    assert outcome.status == 0 and counts["corrupt"] == 0, counts
    assert counts["complete"] < 6 and counts["received"] > 0, counts
