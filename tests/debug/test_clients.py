# SPDX-License-Identifier: GPL-2.0
"""Real clients, on a kernel that looks at every access to memory and at every lock.

The tests are those of tests/e2e, and a kernel that complains fails each of them.
"""

from __future__ import annotations

import pytest

from ktcp import vm
from tests.e2e.lab import Lab, crowd
from tests.e2e.test_echo import (
    test_clients_in_the_guest_at_once,
    test_conversation,
    test_resets_in_mid_transfer_are_survived,
    test_short_message_after_long_one,
    test_sizes_around_boundaries,
)
from tests.e2e.test_lifecycle import (
    test_clients_in_mid_transfer,
    test_clients_that_keep_coming,
    test_clients_that_never_read,
    test_suspended_client,
    test_twenty_loads_and_unloads,
)
from tests.e2e.test_trace import test_events_of_a_connection
from .leaks import forget_leaks, leaks

EXECUTORS = ("event_loop", "workqueue", "kthread")


@pytest.mark.parametrize("executor", EXECUTORS)
def test_crowds(guest: vm.Guest, executor: str) -> None:
    """Clients that come, talk, reset and go as they please, on each executor; nothing leaks."""
    guest.must("insmod /modules/ktcp_server.ko")
    forget_leaks(guest)
    assert guest.insmod("proving", executor=executor, output=4096).status == 0
    counts = crowd(guest, "storm", seconds=10, n=30, bytes=50_000)
    assert counts["corrupt"] == 0 and counts["complete"] > 50, counts
    counts = crowd(guest, "ask", seconds=60, n=300, bytes=3000)
    assert counts["complete"] == 300, counts
    guest.must("rmmod proving", timeout=30)
    assert not leaks(guest)
