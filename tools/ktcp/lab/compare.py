# SPDX-License-Identifier: GPL-2.0
"""Figures that differ between two results."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .. import ui
from .results import Result

# Smaller changes are not reported.
THRESHOLD = 0.02


@dataclass(frozen=True)
class Move:
    """A figure that changed."""

    figure: str
    case: str
    server: str
    before: float
    after: float
    # True if a higher figure is better
    more_is_better: bool

    @property
    def change(self) -> float:
        return self.after / self.before - 1

    @property
    def is_better(self) -> bool:
        return (self.change > 0) == self.more_is_better

    def __str__(self) -> str:
        verdict = ui.colour("32", "better") if self.is_better else ui.colour("31", "worse")
        return (
            f"{verdict:<6} {self.change:+6.1%}  {self.figure}: {self.case}, {self.server} "
            f"({self.before:,.0f} -> {self.after:,.0f})"
        )


def _overlap(one: Sequence[float], other: Sequence[float]) -> bool:
    return min(one) <= max(other) and min(other) <= max(one)


@dataclass(frozen=True)
class Kind:
    """A kind of figure."""

    more_is_better: bool
    # With noise, runs that overlap say nothing about which is the faster.
    noisy: bool


KINDS = {
    "instructions": Kind(more_is_better=False, noisy=False),
    "rate": Kind(more_is_better=True, noisy=True),
    "median_ns": Kind(more_is_better=False, noisy=True),
    "memory": Kind(more_is_better=False, noisy=False),
    "stop_seconds": Kind(more_is_better=False, noisy=True),
    "open": Kind(more_is_better=True, noisy=False),
}

# A figure with its case and server, and its values before and after
Pair = tuple[str, str, str, Sequence[float], Sequence[float]]


def _pairs(before: Result, after: Result) -> Iterator[Pair]:
    """Yields the figures that both results have."""
    for figure in KINDS:
        for case, servers in after.get(figure, {}).items():
            for server, values in servers.items():
                if earlier := before.get(figure, {}).get(case, {}).get(server):
                    yield figure, case, server, earlier, values


def moves(before: Result, after: Result) -> list[Move]:
    """The figures that both results have and that differ by more than the threshold."""
    found = []
    for figure, case, server, earlier, values in _pairs(before, after):
        kind = KINDS[figure]
        if kind.noisy and _overlap(values, earlier):
            continue
        old, new = statistics.median(earlier), statistics.median(values)
        if old and abs(new / old - 1) > THRESHOLD:
            found.append(Move(figure, case, server, old, new, kind.more_is_better))
    return sorted(found, key=lambda move: -abs(move.change))


def report(before: Result, after: Result) -> str:
    """The moves, for a person."""
    name = f"{before['commit'][:12]}{'+' if before['changed'] else ''} of {before['when']}"
    common = sum(1 for _ in _pairs(before, after))
    if not common:
        return f"nothing to compare: {name} has no figure that was measured now"
    figures = f"{common} figure{'' if common == 1 else 's'}"
    found = moves(before, after)
    if not found:
        return f"of {figures}, none moved by more than {THRESHOLD:.0%} since {name}"
    lines = "\n".join(f"  {move}" for move in found)
    return f"of {figures}, {len(found)} moved by more than {THRESHOLD:.0%} since {name}:\n{lines}"
