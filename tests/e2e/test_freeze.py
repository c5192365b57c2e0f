# SPDX-License-Identifier: GPL-2.0
"""Tasks that are frozen, as for a hibernation image: nothing of ours touches a file meanwhile.

The distribution's kernel has no pm_test, and a guest is not reached any more after a hibernation. The old
freezer of control groups freezes single threads, by the same functions.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ktcp import wires
from . import web
from .lab import Lab, eventually, fill, is_silent
from .web import Web

FREEZER = "/tmp/freezer"
GROUP = f"{FREEZER}/khttpd"
# Workers of queues cannot be moved into a group.
THREADS = ("event_loop", "kthread")

# Megabytes that no socket takes at once.
HUGE = 60

FREEZE = f"""
    for task in /proc/[0-9]*; do
        case $(cat $task/comm 2>/dev/null) in
        khttpd/*) echo ${{task#/proc/}} >{GROUP}/cgroup.procs;;
        esac
    done 2>/dev/null
    echo FROZEN >{GROUP}/freezer.state
"""
THAW = f"echo THAWED >{GROUP}/freezer.state"


@pytest.fixture(scope="module")
def machine(lab: Lab) -> Iterator[Web]:
    address = (wires.LOCALHOST, wires.free_port())
    with web.new_guest(lab, address[1]) as guest:
        guest.must(web.SETUP)
        guest.must("insmod /modules/ktcp_server.ko")
        guest.must(f"mkdir {FREEZER} && mount -t cgroup -o freezer freezer {FREEZER}")
        guest.must(f"mkdir {GROUP}")
        yield Web(guest, address)
        guest.must("rmmod ktcp_server")
        guest.check()


def ask(connection: socket.socket, path: str) -> None:
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())


@contextmanager
def frozen_before(machine: Web, path: str) -> Iterator[socket.socket]:
    """A connection that was answered, and asks for `path` now that the threads are frozen."""
    # All of it is in memory, and would be answered where one must not sleep.
    assert machine.curl(path).status == 200
    with socket.create_connection(machine.address, 30) as connection:
        ask(connection, "/empty.txt")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
        machine.guest.must(FREEZE)
        try:
            ask(connection, path)
            yield connection
        finally:
            machine.guest.must(THAW)


@pytest.mark.parametrize("executor", THREADS)
@pytest.mark.parametrize("path", ("/hello.txt", "/large.bin", "/folder/"))
def test_a_file_is_not_touched_while_threads_are_frozen(
    machine: Web, executor: str, path: str
) -> None:
    with machine.served(executor=executor):
        with frozen_before(machine, path) as connection:
            assert is_silent(connection, 1.0)
            machine.guest.must(THAW)
            assert connection.recv(15) == b"HTTP/1.1 200 OK"
        assert machine.curl(path).status == 200


def received(connection: socket.socket, most: int, seconds: float) -> int:
    """How many bytes come, so many at most, until none has come for so long."""
    connection.settimeout(seconds)
    count = 0
    try:
        while count < most and (piece := connection.recv(min(1 << 16, most - count))):
            count += len(piece)
    except TimeoutError:
        pass
    return count


@pytest.mark.parametrize("executor", THREADS)
def test_a_transfer_stops_while_threads_are_frozen(machine: Web, executor: str) -> None:
    """What the sockets have goes on; they do not have all of it."""
    fill(machine.guest, f"{web.ROOT}/huge.txt", "much", megabytes=HUGE)
    with machine.served(executor=executor):
        with socket.create_connection(machine.address, 30) as connection:
            ask(connection, "/huge.txt")
            assert received(connection, 1000, 30.0) == 1000
            machine.guest.must(FREEZE)
            try:
                meanwhile = received(connection, HUGE * 1_000_000, 2.0)
            finally:
                machine.guest.must(THAW)
            print(meanwhile)
            assert meanwhile < HUGE * 1_000_000 * 3 / 4
            left = HUGE * 1_000_000 - 1000 - meanwhile
            assert received(connection, left, 30.0) == left
    machine.guest.must(f"rm {web.ROOT}/huge.txt")


@pytest.mark.parametrize("executor", THREADS)
def test_unloading_ends_once_threads_are_thawed(machine: Web, executor: str) -> None:
    with machine.served(executor=executor):
        with frozen_before(machine, "/large.bin") as connection:
            assert is_silent(connection)
            # Longer than the drain
            unloading = machine.guest.start("rmmod khttpd", timeout=90)
            assert not eventually(unloading.is_done, seconds=7)
            machine.guest.must(THAW)
            assert machine.guest.finish(unloading).status == 0
