# SPDX-License-Identifier: GPL-2.0
"""An orderly end tells the peer that this was all, and a peer has its time to take the rest."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from ktcp import run, vm
from .lab import (
    CROWD,
    DRAIN_SECONDS,
    PORT,
    Lab,
    counted,
    crowd,
    crowd_program,
    eventually,
    rmmod,
    statistics,
)

# What /proc/net/tcp calls those that keep data for a peer: established, fin-wait-1, close-wait, last-ack,
# closing
HOLDING = {"01", "04", "08", "09", "0B"}


@pytest.fixture(scope="module")
def own(lab: Lab) -> Iterator[Lab]:
    """A lab whose guests have the crowd of clients."""
    own = Lab(lab.kernel, lab.modules, lab.accel, "ends", files=crowd_program())
    yield own
    own.close()


@pytest.fixture
def machine(own: Lab) -> Iterator[vm.Guest]:
    yield own.lend()
    own.take_back()


def holding(guest: vm.Guest) -> list[str]:
    """The states of the server's sockets that keep anything for a peer."""
    lines = guest.must("cat /proc/net/tcp /proc/net/tcp6").splitlines()
    fields = [line.split() for line in lines]
    states = [field[3] for field in fields if field[1].endswith(f":{PORT:04X}")]
    return [state for state in states if state in HOLDING]


def test_unloading_waits_for_peers_that_do_not_read_then_resets_them(machine: vm.Guest) -> None:
    run.load(machine)
    clients = machine.start(f"{CROWD} part --for 12 --clients 5", timeout=60)
    assert eventually(lambda: statistics(machine)["closing"] == 5)
    took = rmmod(machine)
    assert DRAIN_SECONDS - 1 < took < DRAIN_SECONDS + 5
    assert holding(machine) == []
    assert counted(machine.finish(clients).output)["broken"] == 5


def test_unloading_returns_once_peers_have_read_everything(machine: vm.Guest) -> None:
    run.load(machine)
    clients = machine.start(f"{CROWD} part --for 2 --clients 5", timeout=60)
    assert eventually(lambda: statistics(machine)["closing"] == 5)
    assert rmmod(machine) < DRAIN_SECONDS
    assert counted(machine.finish(clients).output)["complete"] == 5


def test_closing_connections_count_and_end_in_time(machine: vm.Guest) -> None:
    run.load(machine, max_connections=2, close_timeout_ms=3000)
    started = time.monotonic()
    counts = crowd(machine, "part", clients=30, **{"for": 15})
    print(counts, time.monotonic() - started)
    assert counts["complete"] == counts["cut"] == 0
    seen = statistics(machine)
    assert seen["most_open"] == 2 and seen["unacknowledged"] >= 2
    assert seen["refused_by_limit"] + seen["accepted"] == 30
    assert seen["open"] == seen["closing"] == 0
    assert holding(machine) == []


def test_an_idle_peer_that_has_not_read_everything_is_reset(machine: vm.Guest) -> None:
    run.load(machine, idle_timeout_ms=1500)
    counts = crowd(machine, "part", clients=3, bytes=5 << 20, **{"for": 5})
    assert counts["complete"] == counts["cut"] == 0 and counts["broken"] == 3
    assert eventually(lambda: statistics(machine)["open"] == 0)
