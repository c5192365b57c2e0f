# SPDX-License-Identifier: GPL-2.0
"""What safe code can say and should not: it must not bring the machine down."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ktcp import vm
from .lab import PORT, Lab, build_module, echoed, is_ended, listens, loaded


def test_a_leaked_server_ends_with_its_module(lab: Lab, tmp_path: Path) -> None:
    modules = [*lab.modules, build_module(lab.kernel, "leaky", tmp_path)]
    address = (vm.LOCALHOST, vm.free_port())
    forwards = [vm.Forward(address[1], PORT)]
    with vm.Guest(lab.kernel, modules, accel=lab.accel, name="misuse", forwards=forwards) as guest:
        guest.must("insmod /modules/ktcp_server.ko")
        for _ in range(3):
            guest.must("insmod /modules/leaky.ko")
            clients = [echoed(address) for _ in range(5)]
            guest.must("rmmod leaky")
            # Nothing of the server is left to run the code that is gone.
            assert all(is_ended(client) for client in clients)
            assert not listens(guest)
            names = guest.must("cat /proc/[0-9]*/comm 2>/dev/null; true")
            assert "leaky/" not in names
        assert guest.dmesg().count("without having dropped its server") == 3
        guest.must("rmmod ktcp_server")
        assert "ktcp_server" not in loaded(guest)


def test_leaked_threads_and_queues_end_with_their_module(lab: Lab, tmp_path: Path) -> None:
    modules = [*lab.modules, build_module(lab.kernel, "leaky_threads", tmp_path)]
    with vm.Guest(lab.kernel, modules, accel=lab.accel, name="misuse") as guest:
        guest.must("insmod /modules/ktcp_server.ko")
        for _ in range(5):
            guest.must("insmod /modules/leaky_threads.ko")
            guest.must("sleep 0.3")
            assert "leaky/waits" in guest.must("cat /proc/[0-9]*/comm 2>/dev/null; true")
            guest.must("rmmod leaky_threads", timeout=30)
            # A worker keeps the name of its last queue in its own.
            names = guest.must("cat /proc/[0-9]*/comm 2>/dev/null; true").splitlines()
            assert not [name for name in names if name.startswith("leaky/")]
        log = guest.dmesg()
        assert log.count("asked to stop") == 5
        # The two that were leaked; not those that were let go.
        assert log.count("without having joined its thread") == 10
        assert log.count("without having dropped its queue") == 5
        guest.must("rmmod ktcp_server")
        assert "ktcp_server" not in loaded(guest)


def test_what_outlives_a_module_is_none_of_its_code(lab: Lab) -> None:
    # A thread of the library that stops a server runs until after the module may go. An instance of
    # a generic function that it runs would be a part of that module.
    kecho = next(path for path in lab.modules if path.name == "kecho.ko")
    symbols = subprocess.run(["nm", kecho], check=True, capture_output=True, text=True).stdout
    assert "ktcp_server" in symbols
    assert "WorkItemPointer" not in symbols
