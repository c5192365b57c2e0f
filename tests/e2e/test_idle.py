# SPDX-License-Identifier: GPL-2.0
"""Servers that have nothing to do: their threads count as no load, and have names that tell them apart."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from ktcp import vm
from .lab import Lab, echoed, eventually, statistics

# `PID (NAME) STATE …`, with all of a kernel thread's name.
STATS = r"grep -hsE '\((kecho|chat)/' /proc/[0-9]*/stat"
STAT = re.compile(r"\((?P<name>[^)]+)\) (?P<state>\w)")


def threads(guest: vm.Guest) -> list[tuple[str, str]]:
    """The names and states of the servers' threads."""
    return [(found["name"], found["state"]) for found in STAT.finditer(guest.must(STATS))]


@pytest.fixture(params=("event_loop", "workqueue", "kthread"))
def idle(request: pytest.FixtureRequest, guest: vm.Guest) -> Iterator[vm.Guest]:
    """A guest with two servers that have timeouts, and nothing to do."""
    guest.must("insmod /modules/ktcp_server.ko")
    parameters: dict[str, str | int] = {
        "executor": request.param,
        "addr": "0.0.0.0",
        "idle_timeout_ms": 600_000,
    }
    assert guest.insmod("kecho", **parameters).status == 0
    assert guest.insmod("chat").status == 0
    yield guest
    guest.must("rmmod kecho chat ktcp_server")


def test_the_threads_of_an_idle_server_are_no_load(lab: Lab, idle: vm.Guest) -> None:
    with echoed(lab.address), echoed(lab.address):
        assert eventually(lambda: statistics(idle)["open"] == 2)
        states = Counter(state for _ in range(20) for _, state in threads(idle))
    print(states)
    assert states and set(states) <= {"I", "S", "R"}
    # The timer is one of them, and asleep whenever it is looked at, or nearly.
    assert "kecho/timer" in dict(threads(idle))
    assert states["I"] >= 20


def test_each_thread_has_a_name_of_its_own(lab: Lab, idle: vm.Guest) -> None:
    with echoed(lab.address), echoed(lab.address):
        names = [name for name, _ in threads(idle)]
    assert {"kecho/accept", "kecho/timer"} <= set(names)
    assert not [name for name, count in Counter(names).items() if count > 1]
