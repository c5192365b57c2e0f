# SPDX-License-Identifier: GPL-2.0
"""What connections cost that do nothing: memory, the time to end them, and how many there can be.

Memory is what /proc/slabinfo and /proc/meminfo say, the difference between ten thousand idle
connections and none. A socket has caches of its own there (`TCP`, `sock_inode_cache`, those of
files), and what is in these is not the library's. The library allocates from the general caches
(`kmalloc-*`, and `radix_tree_node` for its table of connections) and whole pages. The client's
sockets take from the general caches, too, and so do the server's; what that comes to is what the
same load takes against epoll, which for an idle connection allocates nothing but in caches of its
own and in its process.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from .. import ui, vm
from . import servers
from .guests import CALL_SECONDS, CPUS, Laboratory, answers, load
from .servers import Server

IDLE = 10_000
LIBRARY_CASE = f"{IDLE:,} idle connections, each: the library"
GUEST_CASE = f"{IDLE:,} idle connections, each: both ends"
STOP_CASE = f"{IDLE:,} connections"
STOP_RUNS = 3

OPEN = 100_000
OPEN_CASE = f"{OPEN:,} connections"
# Each has 64,000 ports.
ADDRESSES = "127.0.0.1,127.0.0.2,127.0.0.3,127.0.0.4"

# Otherwise caches for objects of one size are one cache, whosever objects these are.
CMDLINE = ("slab_nomerge",)

# Those that everybody allocates from
GENERAL = re.compile(r"kmalloc-.*|radix_tree_node|maple_node")

CONNECT_SECONDS = 120.0
# What is freed in the background is free then.
SETTLE_SECONDS = 3

# What they are called in a result
FIGURES = ("memory", "stop_seconds", "open")

# By case, server and run
Figures = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Memory:
    """Memory in use, in bytes."""

    # Of the general caches
    general: int
    # Of all caches, with what is free in them
    slab: int
    # Of the whole guest
    used: int
    # Of the process of the server
    process: int

    def __sub__(self, other: Memory) -> Memory:
        return Memory(
            self.general - other.general,
            self.slab - other.slab,
            self.used - other.used,
            self.process - other.process,
        )

    @property
    def pages(self) -> int:
        """What is neither in a cache nor the server's process."""
        return self.used - self.slab - self.process


def general_bytes(slabinfo: str) -> int:
    """What is allocated from the general caches, by the text of /proc/slabinfo."""
    total = 0
    for line in slabinfo.splitlines()[2:]:
        name, active, _, size, *_ = line.split()
        if GENERAL.fullmatch(name):
            total += int(active) * int(size)
    return total


def meminfo_bytes(meminfo: str) -> dict[str, int]:
    """The lines of /proc/meminfo, in bytes."""
    found = re.findall(r"^(\w+):\s+(\d+) kB", meminfo, re.MULTILINE)
    return {name: int(kib) << 10 for name, kib in found}


def library_bytes(ours: Memory, others: Memory) -> int:
    """The library's part of what the connections took, given what they took from another server."""
    return ours.general - others.general + ours.pages - others.pages


def _memory(guest: vm.Guest) -> Memory:
    guest.must(f"sleep {SETTLE_SECONDS}; echo 1 >/proc/sys/vm/drop_caches")
    lines = meminfo_bytes(guest.must("cat /proc/meminfo"))
    process = "for pid in $(pidof ktcp-peer); do grep VmRSS /proc/$pid/status; done; true"
    resident = sum(int(line.split()[1]) << 10 for line in guest.must(process).splitlines())
    return Memory(
        general=general_bytes(guest.must("cat /proc/slabinfo")),
        slab=lines["Slab"],
        used=lines["MemTotal"] - lines["MemFree"],
        process=resident,
    )


def _sockets(guest: vm.Guest) -> int:
    """How many TCP sockets are in use."""
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


def _taken(guest: vm.Guest, server: Server) -> Memory:
    """What the idle connections of a server take, client included."""
    with _held(guest, server, IDLE):
        # The first that there are leave caches and tables behind, which are not theirs.
        pass
    before = _memory(guest)
    with _held(guest, server, IDLE):
        return _memory(guest) - before


def memory(guest: vm.Guest) -> Figures:
    """Bytes of the library for each idle connection, and bytes of the guest for each of a server."""
    ours, others = (_taken(guest, server) for server in (servers.KECHO, servers.EPOLL))
    return {
        LIBRARY_CASE: {"kecho": [library_bytes(ours, others) / IDLE]},
        GUEST_CASE: {"kecho": [ours.used / IDLE], "epoll": [others.used / IDLE]},
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
    """How many of a hundred thousand connections, all open at once, were answered."""
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
        with lab.guest("bench-idle", cmdline=CMDLINE) as guest:
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
