# SPDX-License-Identifier: GPL-2.0
"""What has moved between two results."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .. import ui
from .results import Result

# What moves by less is not worth a word.
THRESHOLD = 0.02


@dataclass(frozen=True)
class Move:
    """A figure that changed."""

    figure: str
    case: str
    server: str
    before: float
    after: float
    # Whether more of it is better
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


def _moves(
    figure: str, before: Result, after: Result, more_is_better: bool, *, noisy: bool
) -> Iterator[Move]:
    for case, servers in after.get(figure, {}).items():
        for server, values in servers.items():
            earlier = before.get(figure, {}).get(case, {}).get(server)
            # With noise, runs that overlap say nothing about which is the faster.
            if not earlier or (noisy and _overlap(values, earlier)):
                continue
            old, new = statistics.median(earlier), statistics.median(values)
            if old and abs(new / old - 1) > THRESHOLD:
                yield Move(figure, case, server, old, new, more_is_better)


def moves(before: Result, after: Result) -> list[Move]:
    """The figures that both results have and that differ by more than the threshold."""
    found = [
        *_moves("instructions", before, after, False, noisy=False),
        *_moves("rate", before, after, True, noisy=True),
        *_moves("median_ns", before, after, False, noisy=True),
        *_moves("memory", before, after, False, noisy=False),
        *_moves("stop_seconds", before, after, False, noisy=True),
    ]
    return sorted(found, key=lambda move: -abs(move.change))


def report(before: Result, after: Result) -> str:
    """The moves, for a person."""
    name = f"{before['commit'][:12]}{'+' if before['changed'] else ''} of {before['when']}"
    found = moves(before, after)
    if not found:
        return f"nothing moved by more than {THRESHOLD:.0%} since {name}"
    lines = "\n".join(f"  {move}" for move in found)
    return f"moved by more than {THRESHOLD:.0%} since {name}:\n{lines}"
