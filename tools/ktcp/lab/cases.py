# SPDX-License-Identifier: GPL-2.0
"""What is asked of the servers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A load, as arguments of `ktcp-bench echo`."""

    name: str
    arguments: str


def _echo(connections: int, size: int) -> Case:
    plural = "" if connections == 1 else "s"
    name = f"{connections:,} connection{plural}, {_bytes(size)}"
    return Case(name, f"--connections {connections} --size {size}")


def _bytes(size: int) -> str:
    for unit, name in ((1 << 20, "MiB"), (1 << 10, "KiB")):
        if size % unit == 0:
            return f"{size // unit} {name}"
    return f"{size:,} B"


QUICK = (_echo(1, 64), _echo(64, 64), _echo(1000, 64))
