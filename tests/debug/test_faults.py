# SPDX-License-Identifier: GPL-2.0
"""Memory that fails at random while the server is under load, and for ever while it accepts."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ktcp import conversation, vm
from tests.e2e.lab import EXECUTORS, Lab, crowd, eventually, rmmod, serve, statistics, storm
from .leaks import unintended_leaks

FOLDERS = ("failslab", "fail_page_alloc")

# For how long memory fails, all executors together
SECONDS = 120 if os.environ.get("KTCP_LONG") else 12


# What takes seconds elsewhere may take a minute here.
pytestmark = pytest.mark.limit(400)


@pytest.fixture
def machine(starving: vm.Guest) -> Iterator[vm.Guest]:
    """A guest in which only tasks that are marked for it lack memory."""
    starving.must("insmod /modules/ktcp_server.ko")
    fail(starving, 0)
    yield starving
    fail(starving, 0)
    starving.must("echo 0 >/proc/2/make-it-fail")


def fail(guest: vm.Guest, percent: int) -> None:
    """Lets that share of the allocations fail of each task that is marked for it."""
    for folder in FOLDERS:
        values = {
            "task-filter": "Y",
            "ignore-gfp-wait": "N",
            "verbose": 0,
            "interval": 1,
            "times": -1,
            "probability": percent,
        }
        if folder == "fail_page_alloc":
            values["min-order"] = 0
        lines = [f"echo {value} >/sys/kernel/debug/{folder}/{key}" for key, value in values.items()]
        guest.must(" && ".join(lines))


@pytest.mark.limit(SECONDS + 500)
def test_a_server_survives_random_failures_of_memory(lab: Lab, machine: vm.Guest) -> None:
    # All threads of the kernel that are made from now on, whoever they work for
    machine.must("echo 1 >/proc/2/make-it-fail")
    for executor in EXECUTORS:
        serve(machine, executor, input=4096, output=4096)
        fail(machine, 5)
        storm(machine, 5, seconds=SECONDS / len(EXECUTORS), clients=30, bytes=60_000)
        missed = statistics(machine, "proving")
        fail(machine, 0)
        # It was felt.
        assert missed["out_of_memory"] + missed["accept_errors"] > 0, missed
        # Afterwards it answers again, and nothing is left of those who have gone.
        assert eventually(lambda: conversation.answers(lab.address, 5), 20)
        assert crowd(machine, "ask", clients=50, bytes=10_000)["complete"] == 50
        assert eventually(lambda: statistics(machine, "proving")["open"] == 0)
        assert rmmod(machine, "proving") < 20
    machine.must("echo 0 >/proc/2/make-it-fail")
    log = machine.dmesg()
    # Those who look did not go without memory themselves.
    assert (
        "ODEBUG disabled" not in log and "kmemleak: Kernel memory leak detector disabled" not in log
    )
    machine.check()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_errors_of_accept_do_not_spin(lab: Lab, machine: vm.Guest, executor: str) -> None:
    """Accept errors that spin."""
    serve(machine, executor)
    find = "grep -lxs proving/accept /proc/[0-9]*/comm"
    task = machine.must(find).removeprefix("/proc/").removesuffix("/comm\n")
    assert task.isdecimal()
    machine.must(f"echo 1 >/proc/{task}/make-it-fail")
    fail(machine, 100)
    counts = crowd(machine, "ask", seconds=3, clients=20)
    assert counts["complete"] == 0, counts
    missed = statistics(machine, "proving")
    ticks = machine.must(f"cat /proc/{task}/stat").rpartition(")")[2].split()[11:13]
    # 1 ms, 2 ms, 4 ms, … 1 s: some twelve times
    errors = missed["accept_errors"] + missed["out_of_memory"]
    assert 3 <= errors <= 30, missed
    assert sum(map(int, ticks)) < 100, ticks
    fail(machine, 0)
    assert eventually(lambda: conversation.answers(lab.address, 5), 20)


def test_nothing_has_leaked(lab: Lab) -> None:
    """In all that was done here; the last test, for to look takes long and is the end of the guest."""
    assert not unintended_leaks(lab)
