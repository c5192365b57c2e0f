# SPDX-License-Identifier: GPL-2.0
"""Counts of passed and failed tests, and the table that closes a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import ui


@dataclass(frozen=True)
class Counts:
    passed: int
    failed: int
    skipped: int = 0
    log: Path | None = None


@dataclass(frozen=True)
class Line:
    """A line of the closing table."""

    ring: str
    counts: Counts
    seconds: float


def summed(lines: Iterable[Line]) -> list[Line]:
    """A line for each ring, however often it ran."""
    found: dict[str, Line] = {}
    for line in lines:
        before = found.get(line.ring, Line(line.ring, Counts(0, 0), 0))
        one, other = before.counts, line.counts
        counts = Counts(
            one.passed + other.passed,
            one.failed + other.failed,
            one.skipped + other.skipped,
            other.log,
        )
        found[line.ring] = Line(line.ring, counts, before.seconds + line.seconds)
    return list(found.values())


def table(lines: Iterable[Line]) -> str:
    rows = [f"  {'ring':<7} {'passed':>6} {'failed':>6} {'skipped':>7} {'time':>12}  log"]
    for line in summed(lines):
        counts = line.counts
        row = f"  {line.ring:<7} {counts.passed:>6} {counts.failed:>6} {counts.skipped:>7}"
        rows.append(f"{row} {ui.duration(line.seconds):>12}  {counts.log or ''}".rstrip())
    return "\n".join(rows)


def close(lines: Sequence[Line], case: str = "") -> int:
    """Shows the table and the closing line; the exit status."""
    passed = sum(line.counts.passed for line in lines)
    failed = sum(line.counts.failed for line in lines)
    print(f"\n{table(lines)}\n")
    if failed and not case:
        print("one test alone: make lint LINT=… | make test-unit CASE=… | make test-e2e CASE=…\n")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0
