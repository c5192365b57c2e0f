# SPDX-License-Identifier: GPL-2.0
"""Costs of idle connections: memory, the time to end them, and their greatest number.

The library's part of the memory is the sum of its allocations, of which the kernel tells. What the
guest has less for each connection, both ends of it included, is said beside that.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from .. import allocations, ui, vm
from . import servers
from .guests import CALL_SECONDS, CPUS, Laboratory, answers, load
from .servers import Server

# A trace of more would be long.
WATCHED = 1000
LIBRARY_CASE = f"{WATCHED:,} idle connections, each: the library"
IDLE = 10_000
GUEST_CASE = f"{IDLE:,} idle connections, each: both ends"
STOP_CASE = f"{IDLE:,} connections"
STOP_RUNS = 3

OPEN = 100_000
OPEN_CASE = f"{OPEN:,} connections"
# Each has 64,000 ports.
ADDRESSES = "127.0.0.1,127.0.0.2,127.0.0.3,127.0.0.4"

CONNECT_SECONDS = 120.0
# After that, memory that is freed in the background is free.
SETTLE_SECONDS = 3

# Their names in a result
FIGURES = ("memory", "stop_seconds", "open")

# By case, server and run
Figures = dict[str, dict[str, list[float]]]


def used_bytes(meminfo: str) -> int:
    """Returns the bytes that are not free, from the text of /proc/meminfo."""
    kib = {name: int(value) for name, value in re.findall(r"^(\w+):\s+(\d+) kB", meminfo, re.M)}
    return (kib["MemTotal"] - kib["MemFree"]) << 10


def _used(guest: vm.Guest) -> int:
    guest.must(f"sleep {SETTLE_SECONDS}; echo 1 >/proc/sys/vm/drop_caches")
    return used_bytes(guest.must("cat /proc/meminfo"))


def _sockets(guest: vm.Guest) -> int:
    """Returns the number of TCP sockets in use."""
    return int(guest.must("grep ^TCP: /proc/net/sockstat").split()[2])


def _wait_for_sockets(guest: vm.Guest, what: str, least: int, most: int) -> None:
    deadline = time.monotonic() + CONNECT_SECONDS
    while not least <= _sockets(guest) <= most:
        if time.monotonic() > deadline:
            raise ui.Fail(
                f"{what}: {_sockets(guest):,} sockets are open, not {least:,} to {most:,}",
                f"the guest's console is in {guest.log}",
            )
        time.sleep(0.2)


@contextmanager
def _held(guest: vm.Guest, server: Server, count: int) -> Iterator[None]:
    """Holds `count` connections open that had one answer each, and do nothing any more."""
    before = _sockets(guest)
    command = (
        f"ktcp-bench {server.protocol} --connect {server.address} --connections 1 --quiet "
        f"--idle {count} --duration 3600"
    )
    guest.must(f"( {command} >/run/held.log 2>&1 ) &")
    try:
        _wait_for_sockets(guest, server.name, before + 2 * count, 1 << 30)
        # The answers take a moment. After that the connection that is not idle is stopped, too.
        guest.must(f"sleep {SETTLE_SECONDS}; killall -STOP ktcp-bench")
        yield
    finally:
        guest.run("killall -KILL ktcp-bench")
    # All but a few, which others may have opened meanwhile: the next one counts from here.
    _wait_for_sockets(guest, f"{server.name}, afterwards", 0, before + 10)


def _taken(guest: vm.Guest, server: Server) -> int:
    """Returns the memory that the idle connections of a server take from the guest, client included."""
    with _held(guest, server, IDLE):
        # The first that there are leave caches and tables behind, which are not theirs.
        pass
    before = _used(guest)
    with _held(guest, server, IDLE):
        return _used(guest) - before


def memory(guest: vm.Guest) -> Figures:
    """Bytes of the library for each idle connection, and bytes of the guest for each of a server."""
    taken = {
        server.name: [_taken(guest, server) / IDLE] for server in (servers.KECHO, servers.EPOLL)
    }
    allocations.watch(guest)
    with _held(guest, servers.KECHO, WATCHED):
        left = allocations.left(guest)
    return {
        LIBRARY_CASE: {servers.KECHO.name: [sum(left.values()) / WATCHED]},
        GUEST_CASE: taken,
    }


def stop(guest: vm.Guest, tell: Callable[[str], None]) -> Figures:
    """Seconds until a server with many connections is gone; the servers do not run before or after."""
    found: dict[str, list[float]] = {}
    for number, server in enumerate([servers.KECHO, servers.EPOLL] * STOP_RUNS):
        tell(f"time to stop, {STOP_CASE}: {server.name}, {number // 2 + 1} of {STOP_RUNS}")
        server.start(guest, CPUS)
        with _held(guest, server, IDLE):
            took = guest.must(
                f"read before _ </proc/uptime; {server.stop_command}; "
                "read after _ </proc/uptime; echo $before $after",
                timeout=CALL_SECONDS,
            )
        before, after = took.split()
        found.setdefault(server.name, []).append(float(after) - float(before))
    return {STOP_CASE: found}


def open_connections(guest: vm.Guest) -> Figures:
    """Opens a hundred thousand connections at once; returns the number that were answered."""
    server = servers.KECHO
    report = load(
        guest,
        server,
        f"--connections {OPEN} --rounds 1 --timeout 60 --from {ADDRESSES}",
        strict=False,
    )
    return {OPEN_CASE: {server.name: [float(answers(report)["times_ns"]["count"])]}}


def measure(lab: Laboratory, figures: Sequence[str]) -> dict[str, Figures]:
    """Those of the figures that are named."""
    found: dict[str, Figures] = {}
    with ui.Progress("measure idle connections (two CPUs)") as progress:
        progress.detail("boot")
        with lab.guest("bench-idle") as guest:
            if "stop_seconds" in figures:
                found["stop_seconds"] = stop(guest, progress.detail)
            for server in (servers.KECHO, servers.EPOLL):
                server.start(guest, CPUS)
            if "memory" in figures:
                progress.detail(f"memory of {STOP_CASE}")
                found["memory"] = memory(guest)
            if "open" in figures:
                progress.detail(OPEN_CASE)
                found["open"] = open_connections(guest)
    return found
