# SPDX-License-Identifier: GPL-2.0
"""The loads with which the servers are measured."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable
from dataclasses import dataclass

from .. import ui


# The least that is counted: rounds of the connections, and instructions
COUNTED_ROUNDS = 4
COUNTED_INSTRUCTIONS = 100_000_000


@dataclass(frozen=True)
class Case:
    """A load, as arguments of `ktcp-bench PROTOCOL`."""

    name: str
    arguments: str
    # The protocol: only servers that speak it are measured
    protocol: str = "echo"
    # The group that it is shown in: cases that differ in one thing
    group: str = ""
    # That thing: connections or bytes
    x: int = 0
    # Requests that are counted, in whole rounds of the connections. 0: the case is not counted.
    requests: int = 0
    # For how long the rate is measured, in seconds of the guest, and how often
    seconds: float = 0.5
    runs: int = 5


def count(number: int, of: str) -> str:
    return f"{number:,} {of}{'' if number == 1 else 's'}"


def size_of(size: int) -> str:
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size:,} B"


def rounds(connections: int, size: int) -> int:
    """Returns the number of requests of `size` bytes that a measurement needs."""
    # The estimate need not be good: it only says for how long to look.
    estimate = 30_000 + 3 * size
    times = max(COUNTED_ROUNDS, COUNTED_INSTRUCTIONS // (estimate * connections))
    return times * connections


def echo(connections: int, size: int, group: str = "") -> Case:
    """So many connections, each with one message of so many bytes under way."""
    name = f"{count(connections, 'connection')}, {size_of(size)}"
    x = connections if group == "connections" else size
    arguments = f"--connections {connections} --size {size}"
    requests = rounds(connections, size)
    # Several answers for each connection, even where there are thousands
    seconds = max(Case.seconds, connections / 2000)
    return Case(name, arguments, group=group, x=x, requests=requests, seconds=seconds)


QUICK = tuple(echo(connections, 64, "connections") for connections in (1, 64, 1000))

CONNECTIONS = tuple(
    echo(connections, 64, "connections") for connections in (1, 16, 64, 256, 1000, 4000)
)
# Fewer connections the larger the messages are, so that all of them fit into the caches.
SIZES = tuple(
    echo(connections, size, "sizes")
    for connections, size in (
        (64, 13),
        (64, 1 << 10),
        (16, 4000),
        (16, 16 << 10),
        (16, 64 << 10),
        (4, 1 << 20),
    )
)
BUSY = "--connections 64 --size 64"
# Runs of this one differ by up to a factor of two, for each server.
SHORT = Case(
    "64 clients, connect, 64 B, close",
    f"{BUSY} --reconnect",
    requests=64 * 30,
    seconds=0.4,
    runs=15,
)
OTHERS = (
    SHORT,
    Case("64 connections, 64 B, 16 under way", f"{BUSY} --depth 16", requests=64 * 16 * 20),
    Case("64 of 10,064 connections, 64 B", f"{BUSY} --idle 10000", requests=rounds(64, 64)),
)

FULL = (*CONNECTIONS, *SIZES, *OTHERS)


def chosen(cases: Iterable[Case]) -> tuple[Case, ...]:
    """Those of the cases that the variable CASE names, a part of their names or a glob."""
    cases = tuple(cases)
    wish = os.environ.get("CASE", "")
    found = tuple(case for case in cases if fnmatch.fnmatch(case.name, f"*{wish}*"))
    if not found:
        raise ui.Fail(
            f"there is no case CASE={wish}",
            f"they are: {'; '.join(case.name for case in cases)}",
        )
    return found
