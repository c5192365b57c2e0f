# SPDX-License-Identifier: GPL-2.0
"""A client on the same machine that changes memory which it has given to the kernel to send: what the
server had received by then comes back as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ktcp import vm
from .lab import Lab, crowd, crowd_program

EXECUTORS = ("event_loop", "workqueue", "kthread")
WAYS = ("memory", "gift", "file", "pipe")


@pytest.fixture(scope="module")
def machine(lab: Lab) -> Iterator[vm.Guest]:
    own = Lab(lab.kernel, lab.modules, lab.accel, "pages", files=crowd_program())
    yield own.lend()
    own.take_back()
    own.close()


@pytest.mark.parametrize("executor", EXECUTORS)
def test_changes_of_what_a_server_has_received_do_not_come_back(
    machine: vm.Guest, executor: str
) -> None:
    machine.must("insmod /modules/ktcp_server.ko")
    machine.must(f"insmod /modules/kecho.ko executor={executor}")
    for way in WAYS:
        counts = crowd(machine, "share", way=way)
        assert counts["corrupt"] == 0, (way, counts)
        # It held much, and the pages that it had not received yet were really those of the client.
        assert counts["received"] > 100_000, (way, counts)
        assert counts["changed"] > 0, (way, counts)
    machine.must("rmmod kecho ktcp_server")
