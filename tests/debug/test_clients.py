# SPDX-License-Identifier: GPL-2.0
"""Real clients, on a kernel that looks at every access to memory and at every lock.

The tests are those of tests/e2e, and a kernel that complains fails each of them.
"""

from __future__ import annotations

import pytest

from ktcp import vm
from tests.e2e.lab import EXECUTORS, Lab, crowd, serve, storm
from tests.e2e.test_cpus import loads_while_a_cpu_comes_and_goes
from tests.e2e.test_echo import (
    test_conversation_comes_back_as_it_was_said,
    test_resets_in_mid_transfer_are_survived,
    test_short_message_after_a_long_one_comes_back_alone,
    test_sizes_around_boundaries_come_back,
)
from tests.e2e.test_held import LOAD, held_over_the_library, read_while_modules_come_and_go
from tests.e2e.test_lifecycle import (
    test_clients_in_mid_transfer_are_ended_in_time,
    test_clients_that_keep_coming_are_ended_in_time,
    test_clients_that_never_read_are_ended_in_time,
    test_suspended_client_is_ended_in_time,
    test_twenty_loads_and_unloads_leave_nothing,
)
from tests.e2e.test_trace import test_events_of_a_connection_are_traced
from .leaks import unintended_leaks


# What takes seconds elsewhere may take a minute here.
pytestmark = pytest.mark.limit(400)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_crowds_are_answered_on_each_executor(guest: vm.Guest, executor: str) -> None:
    """Clients that come, talk, reset and go as they please, on each executor."""
    guest.must("insmod /modules/ktcp_server.ko")
    serve(guest, executor, output=4096)
    storm(guest, 20, seconds=2, clients=30, bytes=50_000)
    counts = crowd(guest, "ask", seconds=60, clients=200, bytes=3000)
    assert counts["complete"] == 200, counts
    guest.must("rmmod proving", timeout=30)


def test_loads_while_a_cpu_comes_and_goes(guest: vm.Guest) -> None:
    guest.must("insmod /modules/ktcp_server.ko")
    loads_while_a_cpu_comes_and_goes(guest, 20, seconds=300)


def test_multipath_sockets_do_not_hold_the_library(guest: vm.Guest) -> None:
    # They may be there for a minute after they were closed.
    guest.must("insmod /modules/ktcp_server.ko")
    serve(guest, "event_loop", mptcp="y")
    assert guest.must("cat /sys/module/ktcp_server/refcnt").strip() == "1"
    assert crowd(guest, "ask", clients=20)["complete"] == 20
    guest.must("rmmod proving", timeout=30)


def test_files_that_are_held_over_the_library(guest: vm.Guest) -> None:
    guest.must(LOAD)
    read_while_modules_come_and_go(guest, 3)
    held_over_the_library(guest, "connections", read_before=True)


def test_nothing_has_leaked(lab: Lab) -> None:
    """In all that was done here; the last test, for to look takes long and is the end of the guest."""
    assert not unintended_leaks(lab)
