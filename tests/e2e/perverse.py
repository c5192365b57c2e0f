# SPDX-License-Identifier: GPL-2.0
"""The perverse modules, which the tests load on the real kernel and on the debug kernel."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from ktcp import author, vm
from ktcp.kernel import Kernel
from .lab import PORT, SOURCES, Lab, crowd_program, eventually, rmmod, script

# The executors whose handlers may sleep, in the order of their ports; the last one's must not.
SLEEPING = ("event_loop", "workqueue", "kthread")
ALL = (*SLEEPING, "softirq")

# How much later than promised a module may be gone, on a machine that has other things to do
SLACK_SECONDS = 10.0

# What hardly differs from others is tried by `make test-long` only: the names in SELDOM of a file.
LONG = bool(os.environ.get("KTCP_LONG"))

SERVERS = "/sys/kernel/debug/ktcp_server"


def build(kernel: Kernel, folder: Path) -> list[Path]:
    """The perverse modules, built as any author would, in a new folder."""
    shutil.copytree(SOURCES / "perverse", folder)
    return sorted(author.build(kernel, folder).parent.glob("*.ko"))


@pytest.fixture(scope="module")
def perverse(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab like the usual one, whose guests have the perverse modules."""
    modules = build(lab.kernel, tmp_path_factory.mktemp("modules") / "perverse")
    options = {"files": crowd_program(), **lab.options}
    name = f"{lab.name}-perverse"
    own = Lab(lab.kernel, [*lab.modules, *modules], lab.accel, name, **options)
    yield own
    own.close()


@pytest.fixture
def machine(perverse: Lab, request: pytest.FixtureRequest) -> Iterator[vm.Guest]:
    """A guest with the library; a test that fails costs the guest, which may break at any time then."""
    if not LONG and request.node.name.removeprefix("test_") in request.module.SELDOM:
        pytest.skip("for long runs")
    failed = request.session.testsfailed
    guest = perverse.lend()
    guest.must("dmesg -c >/dev/null; insmod /modules/ktcp_server.ko")
    yield guest
    if request.session.testsfailed == failed:
        perverse.take_back()
    else:
        perverse.discard()


def load(guest: vm.Guest, module: str, **parameters: int | str) -> None:
    """Loads a perverse module."""
    outcome = guest.insmod(module, **parameters)
    assert outcome.status == 0, outcome.output


def says(guest: vm.Guest, text: str) -> int:
    """How often the log of the kernel says that."""
    return guest.dmesg().count(text)


def connections(guest: vm.Guest) -> int:
    """How many connections all servers have."""
    counts = guest.must(f"grep -hs '^open ' {SERVERS}/*/stats || true").splitlines()
    return sum(int(line.split()[1]) for line in counts)


@contextmanager
def talking(
    guest: vm.Guest, words: Sequence[str], servers: int, how: str = "reads"
) -> Iterator[None]:
    """Has so many servers one client for each word, which says that and does not leave.

    It `reads` what it is told, or `waits` and takes nothing. In the end the clients are killed.
    """
    command = guest.start(script("talk", PORT, servers, how, *words), timeout=110)
    try:
        yield
    finally:
        guest.must("killall -q -9 nc sleep; true")
        guest.finish(command)


@contextmanager
def clients(guest: vm.Guest, words: Sequence[str], servers: int) -> Iterator[None]:
    """Like `talking`; all of the clients are accepted when this is entered."""
    count = connections(guest) + len(words) * servers
    with talking(guest, words, servers):
        assert eventually(lambda: connections(guest) == count)
        yield


def unload(guest: vm.Guest, module: str, seconds: float) -> None:
    """Unloads a module, which takes no longer than so many seconds and leaves nothing behind."""
    assert rmmod(guest, module) < seconds + SLACK_SECONDS
    left = script("perverse-left", module, PORT, *ALL)
    assert guest.must(left) == ""
