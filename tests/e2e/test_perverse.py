# SPDX-License-Identifier: GPL-2.0
"""Programs without a line of `unsafe` that do what no program should: none of them breaks the kernel.

Each module in modules/perverse/ says in its first lines what it does, and what the library promises.
"""

from __future__ import annotations

import errno
import time

import pytest

from ktcp import vm
from .lab import PORT, Lab, echoed, eventually, listens, script, storm
from .perverse import (
    ALL,
    SERVERS,
    SLACK_SECONDS,
    SLEEPING,
    clients,
    connections,
    load,
    machine,
    perverse,
    says,
    talking,
    unload,
)
from .test_trace import TRACING, turn

# The fixtures, for those who import the tests
__all__ = ["machine", "perverse"]

SELDOM = (
    "a_handler_that_waits_is_interrupted[read_exact]",
    "a_handler_that_waits_is_interrupted[accept]",
    "a_start_that_is_interrupted_stops_the_server_that_the_handler_owns[workqueue]",
    "a_start_that_is_interrupted_stops_the_server_that_the_handler_owns[softirq]",
)

# A server whose accepting thread, or whose last connection, drops it is ended while it does that: when
# the thread that lags has stopped, but not yet all of the handler is dropped.
LAG_SECONDS = 0.8
TAIL_SECONDS = 1.2
DRAIN_SECONDS = 1.0
OWNING = {
    "lag_ms": int(LAG_SECONDS * 1000),
    "drain_ms": int(DRAIN_SECONDS * 1000),
}
TAIL = {"tail_ms": int(TAIL_SECONDS * 1000)}


# Handlers that own servers


def let_go(guest: vm.Guest, handlers: int) -> None:
    """Unloads the module `owners`, of which so many handlers are dropped."""
    unload(guest, "owners", LAG_SECONDS + TAIL_SECONDS + DRAIN_SECONDS)
    assert says(guest, "the handler is dropped") == handlers


# No client, one that is idle, and one in whose name the handler is at work
@pytest.mark.parametrize("word", ["", "idle", "sleep"])
def test_a_handler_that_owns_its_server_is_dropped(machine: vm.Guest, word: str) -> None:
    load(machine, "owners", program="self", **OWNING, **TAIL)
    with clients(machine, [word] if word else [], len(ALL)):
        if word == "sleep":
            assert eventually(lambda: says(machine, ": sleeps") == len(SLEEPING))
        let_go(machine, len(ALL))


# Of each executor one handler, or two
@pytest.mark.parametrize("program, handlers", [("pair", 2), ("thread", 1), ("drop", 2)])
def test_a_handler_that_owns_a_server_in_other_ways_is_dropped(
    machine: vm.Guest, program: str, handlers: int
) -> None:
    load(machine, "owners", program=program, **OWNING)
    with clients(machine, ["idle"], len(ALL)):
        let_go(machine, handlers * len(ALL))


def test_a_session_that_owns_its_server_is_dropped(machine: vm.Guest) -> None:
    load(machine, "owners", program="session", **OWNING, **TAIL)
    with clients(machine, ["idle"], len(ALL)):
        let_go(machine, len(ALL))


def test_a_handler_that_joins_a_thread_that_drops_its_server_ends(machine: vm.Guest) -> None:
    load(machine, "owners", program="self", **OWNING)
    # Their servers may be gone before the clients are seen.
    with talking(machine, ["join"], len(SLEEPING)):
        assert eventually(lambda: says(machine, ": joins") == len(SLEEPING))
        let_go(machine, len(ALL))
    assert says(machine, ": joining ends with ") == len(SLEEPING)


def test_a_start_that_fails_stops_the_server_that_the_handler_owns(machine: vm.Guest) -> None:
    load(machine, "owners", program="start", **OWNING)
    assert says(machine, f": started: {-errno.EADDRINUSE}\n") == len(ALL)
    assert eventually(lambda: not listens(machine))
    let_go(machine, 2 * len(ALL))


@pytest.mark.parametrize("executor", ALL)
def test_a_start_that_is_interrupted_stops_the_server_that_the_handler_owns(
    machine: vm.Guest, executor: str
) -> None:
    parameters = ("program=killed", f"only={executor}", f"lag_ms={OWNING['lag_ms']}")
    machine.must(script("killed-load", *parameters))
    assert says(machine, f"{executor}: started: {-errno.EINTR}\n") == 1
    assert eventually(lambda: not listens(machine, PORT + ALL.index(executor)))
    unload(machine, "owners", LAG_SECONDS)
    # Those of ten servers, and of those that were to own one of them: one, unless it started too fast
    assert says(machine, "the handler is dropped") > 10


def test_a_handler_that_shuts_down_its_server_says_how_long_that_may_take(
    machine: vm.Guest,
) -> None:
    load(machine, "owners", program="self", lag_ms=0, drain_ms=60_000)
    # The first clients read nothing of very much.
    with talking(machine, ["flood"], len(ALL), how="waits"):
        assert eventually(lambda: connections(machine) == len(ALL))
        # Until no buffer on the way takes more.
        time.sleep(1)
        with talking(machine, ["shut_down"], len(ALL)):
            # With their last connection, the files of the servers go.
            assert eventually(lambda: machine.must(f"ls {SERVERS}") == "", SLACK_SECONDS)
        unload(machine, "owners", 0)
    assert says(machine, "the handler is dropped") == len(ALL)


# Code and names of another module


@pytest.mark.parametrize("program", ["spawn", "enqueue", "module"])
def test_a_queue_runs_no_code_of_another_module(machine: vm.Guest, program: str) -> None:
    load(machine, "lender")
    load(machine, "borrower", program=program)
    machine.rmmod("borrower")
    # The code would run by then.
    time.sleep(1.5)
    unload(machine, "lender", 0)
    log = machine.dmesg()
    assert (f"spawning ends with {-errno.EINVAL}\n" in log) == (program != "enqueue")
    assert ("the item is refused" in log) == (program != "spawn")
    assert "whose code it is not" in log
    assert "code of the borrower runs" not in log


def test_a_name_of_another_module_outlives_it(perverse: Lab, machine: vm.Guest) -> None:
    load(machine, "lender")
    load(machine, "borrower", program="names")
    machine.rmmod("borrower")
    # What was there is something else now.
    load(machine, "notified")
    turn(machine, on=True)
    try:
        with echoed(perverse.address):
            assert connections(machine) == 1
        assert eventually(lambda: connections(machine) == 0)
        assert "server=borrowed " in machine.must(f"cat {TRACING}/trace")
    finally:
        turn(machine, on=False)
    machine.rmmod("notified")
    unload(machine, "lender", DRAIN_SECONDS)
    assert says(machine, "borrowed: the module goes without having") == 3


# Locks


@pytest.mark.parametrize("program", ["lock", "send", "drop"])
def test_a_lock_with_interrupts_disabled_around_all_is_taken_and_freed(
    machine: vm.Guest, program: str
) -> None:
    load(machine, "locks", program=program)
    storm(machine, 20, seconds=2, clients=40, bytes=20_000)
    unload(machine, "locks", 5)
    log = machine.dmesg()
    assert "locked 0 times" not in log
    assert ", and 0 times otherwise" in log
    assert ("sent 0 times when busy" in log) == (program != "send")
    assert ("servers are dropped" in log) == (program == "drop")


# Those who wait for each other


def test_a_queue_runs_all_of_its_items_at_once_or_refuses_them(machine: vm.Guest) -> None:
    load(machine, "items", program="barrier")
    assert says(machine, f"the queue says {-errno.EAGAIN} after 1024 items") == 1
    assert eventually(lambda: says(machine, "all items run at once") == 1)
    unload(machine, "items", 0)


@pytest.mark.parametrize("program, count", [("items", 2), ("threads", 2), ("ring", 3)])
def test_one_of_those_that_join_each_other_is_told(
    machine: vm.Guest, program: str, count: int
) -> None:
    load(machine, "items", program=program)
    assert eventually(lambda: says(machine, "joining ends with ") == count)
    unload(machine, "items", 0)
    assert says(machine, f"joining ends with {-errno.EDEADLK}\n") >= 1


# Handlers that wait for a peer that says nothing

IDLE = 2

# What the kernel keeps for itself
ERESTARTSYS = 512


@pytest.mark.parametrize("word", ["read", "read_exact", "accept", "connect", "condition"])
def test_a_handler_that_waits_is_interrupted(machine: vm.Guest, word: str) -> None:
    load(machine, "sleepers", drain_ms=300)
    with clients(machine, [word], len(SLEEPING)):
        assert eventually(lambda: says(machine, f": {word} waits") == len(SLEEPING))
        with clients(machine, ["idle"] * IDLE, len(SLEEPING)):
            unload(machine, "sleepers", 0.3)
            # The others are closed, too: they have read the end, or a reset.
            assert eventually(lambda: machine.run("pidof nc").status != 0)
    log = machine.dmesg()
    interrupted = sum(
        log.count(f": {word} ends with {-error}\n") for error in (errno.EINTR, ERESTARTSYS)
    )
    assert interrupted == len(SLEEPING)
    # Of the tasks that run work items none has kept a signal.
    load(machine, "items", program="waits")
    unload(machine, "items", 0)
    assert says(machine, "of 32 waits 0 are interrupted") == 1


def test_a_handler_that_has_a_module_loaded_while_its_own_goes_ends(machine: vm.Guest) -> None:
    # The upstream answers when it has loaded a module: which waits for the module that goes, if one
    # that registers a notifier is in between.
    upstream = machine.start(script("loading-upstream"), timeout=60)
    others = machine.start(script("notified-loads"), timeout=60)
    load(machine, "sleepers", drain_ms=2000, leak="y")
    with clients(machine, ["upstream"], len(SLEEPING)):
        assert eventually(lambda: says(machine, ": upstream waits") == len(SLEEPING))
        unload(machine, "sleepers", 2)
    machine.must("rm /tmp/on")
    assert machine.finish(others).status == 0
    machine.must("killall -q -9 nc; true")
    machine.finish(upstream)
    assert eventually(lambda: machine.run("rmmod items").status == 0)
