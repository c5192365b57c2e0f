# SPDX-License-Identifier: GPL-2.0
"""The perverse modules on a kernel that looks at every access to memory and at every lock.

The tests are those of tests/e2e; then each module is loaded and unloaded again and again.
"""

from __future__ import annotations

import errno

import pytest

from ktcp import vm
from tests.e2e.lab import eventually, script
from tests.e2e.perverse import (
    LONG,
    SLEEPING,
    load,
    machine,
    perverse,
    says,
    talking,
    unload,
)
from tests.e2e.test_perverse import SELDOM as SELDOM_ANYWHERE
from tests.e2e.test_perverse import (
    test_a_handler_that_has_a_module_loaded_while_its_own_goes_ends,
    test_a_handler_that_joins_a_thread_that_drops_its_server_ends,
    test_a_handler_that_owns_a_server_in_other_ways_is_dropped,
    test_a_handler_that_owns_its_server_is_dropped,
    test_a_handler_that_shuts_down_its_server_says_how_long_that_may_take,
    test_a_handler_that_waits_is_interrupted,
    test_a_lock_with_interrupts_disabled_around_all_is_taken_and_freed,
    test_a_name_of_another_module_outlives_it,
    test_a_queue_runs_all_of_its_items_at_once_or_refuses_them,
    test_a_queue_runs_no_code_of_another_module,
    test_a_session_that_owns_its_server_is_dropped,
    test_a_start_that_fails_stops_the_server_that_the_handler_owns,
    test_a_start_that_is_interrupted_stops_the_server_that_the_handler_owns,
    test_one_of_those_that_join_each_other_is_told,
)

# The fixtures and tests that are another file's
__all__ = ["machine", "perverse"] + [name for name in dir() if name.startswith("test_")]

# Here it is the memory and the locks that count, not each of the ways to get there.
SELDOM = SELDOM_ANYWHERE + (
    "a_handler_that_has_a_module_loaded_while_its_own_goes_ends",
    "a_handler_that_shuts_down_its_server_says_how_long_that_may_take",
    "a_handler_that_waits_is_interrupted[connect]",
    "a_queue_runs_all_of_its_items_at_once_or_refuses_them",
    "a_queue_runs_no_code_of_another_module[module]",
    "a_session_that_owns_its_server_is_dropped",
    "a_start_that_is_interrupted_stops_the_server_that_the_handler_owns[kthread]",
    "one_of_those_that_join_each_other_is_told[items-2]",
    "one_of_those_that_join_each_other_is_told[threads-2]",
    "one_of_those_that_join_each_other_is_told[ring-3]",
)
LOADS = 200 if LONG else 3
LOADS_SECONDS = 30 + 5 * LOADS

# What takes seconds elsewhere may take a minute here, and two hundred loads some minutes.
pytestmark = pytest.mark.limit(7000 if LONG else 400)


def test_a_handler_that_is_a_client_of_another_is_told_edeadlk(machine: vm.Guest) -> None:
    load(machine, "conversing")
    # They are closed as soon as they have said something.
    with talking(machine, ["idle"], len(SLEEPING)):
        assert eventually(lambda: says(machine, "conversing ends with") == len(SLEEPING))
    unload(machine, "conversing", 0)
    assert says(machine, f"conversing ends with {-errno.EDEADLK}\n") == len(SLEEPING)


@pytest.mark.parametrize(
    "module, programs",
    [
        ("owners", ("self", "pair", "session", "thread", "drop", "start")),
        ("items", ("items", "threads", "ring", "waits")),
        ("locks", ("lock", "send", "drop")),
        ("sleepers", ("",)),
        ("conversing", ("",)),
    ],
)
def test_repeated_loads_and_unloads_succeed(
    machine: vm.Guest, module: str, programs: tuple[str, ...]
) -> None:
    lag = "lag_ms=20" if module == "owners" else ""
    for program in programs:
        settings = f" program={program} {lag}" if program else ""
        machine.must(script("loads", LOADS, f"{module}{settings}"), timeout=LOADS_SECONDS)


def test_repeated_loads_and_unloads_of_what_is_borrowed_succeed(machine: vm.Guest) -> None:
    for program in ("spawn", "enqueue", "module"):
        both = ("lender", f"borrower program={program}")
        machine.must(script("loads", LOADS, *both), timeout=LOADS_SECONDS)
