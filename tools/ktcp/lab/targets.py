# SPDX-License-Identifier: GPL-2.0
"""The targets of the library, and whether a result meets them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from .. import ui
from . import cases, idle, results, web
from .results import Result

OURS = "kecho"


@dataclass(frozen=True)
class Target:
    """A figure of ours: by itself, or divided by that of another server."""

    case: str
    figure: str
    limit: float
    # The other server
    to: str = ""
    # True if a lower figure is better
    at_most: bool = True
    ours: str = OURS

    @property
    def measure(self) -> str:
        name = {
            "instructions": "instructions",
            "rate": "requests a second",
            "median_ns": "median latency",
            "memory": "bytes",
            "open": "all answered",
        }[self.figure]
        return f"{name}, to {self.to}" if self.to else name

    def value(self, result: Result) -> float | None:
        """The measured value, if there is one."""
        found: dict[str, list[float]] = result.get(self.figure, {}).get(self.case, {})
        if self.ours not in found or (self.to and self.to not in found):
            return None
        ours = found[self.ours]
        if self.to:
            return results.ratio(self.figure, ours, found[self.to])
        return statistics.median(ours)

    def is_met(self, value: float) -> bool:
        return value <= self.limit if self.at_most else value >= self.limit

    def shown(self, value: float) -> str:
        return f"{value:.3f}" if self.to else f"{value:,.0f}"


def _cheaper(connections: int, limit: float, to: str) -> Target:
    return Target(cases.echo(connections, 64).name, "instructions", limit, to)


def _faster(case: cases.Case, limit: float) -> Target:
    return Target(case.name, "rate", limit, "epoll", at_most=False)


def _http(connections: int, size: int, figure: str, limit: float) -> Target:
    case = web.get(connections, size).name
    at_most = figure == "instructions"
    return Target(case, figure, limit, web.NGINX.name, at_most, web.KHTTPD.name)


TARGETS = (
    _cheaper(1, 0.85, "epoll"),
    _cheaper(64, 0.90, "epoll"),
    _cheaper(1000, 0.90, "epoll"),
    _cheaper(64, 0.95, "io_uring"),
    _cheaper(1000, 0.95, "io_uring"),
    Target(cases.echo(1, 64).name, "median_ns", 0.50, "epoll"),
    _faster(cases.echo(64, 64), 1.10),
    _faster(cases.echo(1000, 64), 1.10),
    _faster(cases.echo(16, 64 << 10), 1.30),
    _faster(cases.echo(4, 1 << 20), 1.30),
    _faster(cases.SHORT, 1.20),
    *(_http(connections, web.KIB, "instructions", 0.65) for connections in web.CONNECTIONS),
    *(_http(connections, web.MIB, "rate", 1.20) for connections in web.CONNECTIONS),
    Target(idle.LIBRARY_CASE, "memory", 1024),
    Target(idle.OPEN_CASE, "open", idle.OPEN, at_most=False),
)


def rows(result: Result, targets: Sequence[Target] = TARGETS) -> list[list[str]]:
    """A row for each target that the result has a figure for."""
    found = []
    for target in targets:
        value = target.value(result)
        if value is None:
            continue
        limit = f"{'≤' if target.at_most else '≥'} {target.shown(target.limit)}"
        met = target.is_met(value)
        verdict = ui.colour("32", "met") if met else ui.colour("31", "not met")
        found.append([target.case, target.measure, target.shown(value), limit, verdict])
    return found
