# SPDX-License-Identifier: GPL-2.0
"""What safe code can say and should not: it must not bring the machine down."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

import pytest

from ktcp import vm
from .lab import Lab, build_module, echoed, is_ended, listens, loaded


@pytest.fixture(scope="module")
def leaks(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab whose guests have modules that leak."""
    folder = tmp_path_factory.mktemp("modules")
    modules = [
        build_module(lab.kernel, name, folder)
        for name in ("leaky", "leaky_threads", "torn", "doomed")
    ]
    own = Lab(lab.kernel, [*lab.modules, *modules], lab.accel, "misuse")
    yield own
    own.close()


@pytest.fixture
def machine(leaks: Lab) -> Iterator[vm.Guest]:
    guest = leaks.lend()
    guest.must("dmesg -c >/dev/null; insmod /modules/ktcp_server.ko")
    yield guest
    leaks.take_back()
    assert "ktcp_server" not in loaded(guest)


def test_a_leaked_server_ends_with_its_module(leaks: Lab, machine: vm.Guest) -> None:
    for _ in range(3):
        machine.must("insmod /modules/leaky.ko")
        clients = [echoed(leaks.address) for _ in range(5)]
        machine.must("rmmod leaky")
        # Nothing of the server is left to run the code that is gone.
        assert all(is_ended(client) for client in clients)
        assert not listens(machine)
        names = machine.must("cat /proc/[0-9]*/comm 2>/dev/null; true")
        assert "leaky/" not in names
    assert machine.dmesg().count("without having dropped its server") == 3


def test_leaked_threads_and_queues_end_with_their_module(machine: vm.Guest) -> None:
    for _ in range(5):
        machine.must("insmod /modules/leaky_threads.ko")
        machine.must("sleep 0.3")
        assert "leaky/waits" in machine.must("cat /proc/[0-9]*/comm 2>/dev/null; true")
        machine.must("rmmod leaky_threads", timeout=30)
        # A worker keeps the name of its last queue in its own.
        names = machine.must("cat /proc/[0-9]*/comm 2>/dev/null; true").splitlines()
        assert not [name for name in names if name.startswith("leaky/")]
    log = machine.dmesg()
    assert log.count("asked to stop") == 5
    # The two that were leaked; not those that were let go.
    assert log.count("without having joined its thread") == 10
    assert log.count("without having dropped its queue") == 5


def test_no_reader_sees_a_part_of_a_parameter(machine: vm.Guest) -> None:
    # What the operator gives is long, and a thread that the first value has started reads meanwhile.
    machine.push("/tmp/words", "".join(f"words={n}\n" for n in range(1, 4001)).encode())
    values = loads = 0
    # Until they have read while it was set: on a busy machine a reader gets little time.
    while loads < 20 or values <= 100:
        assert loads < 400
        machine.must("insmod /modules/torn.ko $(cat /tmp/words)", timeout=60)
        assert machine.must("cat /sys/module/torn/parameters/words") == "4000\n"
        machine.must("rmmod torn", timeout=60)
        readers = re.findall(r"torn: read (\d+) values, (\d+) torn", machine.dmesg())
        loads += 1
        assert len(readers) == loads
        assert all(torn == "0" for _, torn in readers)
        values = sum(int(count) for count, _ in readers)


def test_what_outlives_a_module_is_none_of_its_code(lab: Lab) -> None:
    # A thread of the library that stops a server runs until after the module may go. An instance of
    # a generic function that it runs would be a part of that module.
    kecho = next(path for path in lab.modules if path.name == "kecho.ko")
    symbols = subprocess.run(["nm", kecho], check=True, capture_output=True, text=True).stdout
    assert "ktcp_server" in symbols
    assert "WorkItemPointer" not in symbols


def test_a_thread_of_a_module_that_does_not_load_ends_before_it(machine: vm.Guest) -> None:
    for _ in range(5):
        outcome = machine.run("insmod /modules/doomed.ko go=1 number=300")
        assert outcome.status != 0
        names = machine.must("cat /proc/[0-9]*/comm 2>/dev/null; true")
        assert "doomed/thread" not in names
    # Some insmod try twice.
    log = machine.dmesg()
    assert log.count("doomed: the thread ends") == log.count("invalid for parameter `number'") >= 5
