# SPDX-License-Identifier: GPL-2.0
"""The figures as tables that a person can read."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from . import targets
from .results import Result, ratio

# The servers that others are compared with, each where it is among them
BASELINES = ("epoll", "nginx")

# A side that uses this share of its CPUs, or more, is at its limit.
SATURATED = 0.93


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns that line up: the first two to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i < 2 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def _middle(found: dict[str, list[float]]) -> dict[str, float]:
    """The median of each server."""
    return {server: statistics.median(values) for server, values in found.items()}


def _ratio(figure: str, server: str, found: dict[str, list[float]]) -> str:
    """To the server that others are compared with."""
    for name in BASELINES:
        if baseline := found.get(name):
            return f"{ratio(figure, found[server], baseline):.3f}"
    return ""


def _baselines(figures: dict[str, dict[str, list[float]]]) -> str:
    present = {server for found in figures.values() for server in found}
    return " or ".join(name for name in BASELINES if name in present) or BASELINES[0]


def instructions(result: Result) -> str:
    """Thousand instructions per request."""
    head = f"to {_baselines(result['instructions'])}"
    rows = [["instructions per request", "", "thousand", head, "spread"]]
    for case, found in result["instructions"].items():
        for server, value in _middle(found).items():
            values = found[server]
            spread = f"{100 * (max(values) / min(values) - 1):.2f} %" if len(values) > 1 else ""
            to = _ratio("instructions", server, found)
            rows.append([case, server, f"{value / 1000:.2f}", to, spread])
            case = ""
    return aligned(rows)


def saturated(busy: Sequence[float], cpus: int, threads: float) -> str:
    """Which side had no more to give, from how busy each was, in CPUs: load, server, all.

    Either side has `threads` that can work at the same time. What a softirq does counts for
    whichever thread it interrupts: when the CPUs are full, the parts of the sides say little.
    """
    load, server, machine = busy
    if machine >= SATURATED * cpus:
        return "both (CPUs full)"
    for side, part in (("server", server), ("load", load)):
        if part >= SATURATED * threads:
            return side
    return "none (waiting)"


def _median(runs: Sequence[dict[str, float]], name: str) -> float:
    return statistics.median(run[name] for run in runs)


def rates(result: Result) -> str:
    """Requests a second and latencies, medians of the runs."""
    head = ["rate and latency", "", "a second", f"to {_baselines(result['rate'])}", "±"]
    times = {"p50": "p50_ns", "p90": "p90_ns", "p99": "p99_ns", "p99.9": "p99_9_ns"}
    rows = [[*head, *(f"{name} µs" for name in times), "load", "server", "CPUs", "saturated"]]
    for case, found in result["rate"].items():
        label = case
        for server, value in _middle(found).items():
            runs = result["runs"][case][server]
            busy = [_median(runs, side) for side in ("load", "server", "machine")]
            values = found[server]
            spread = f"{50 * (max(values) - min(values)) / value:.0f} %"
            rows.append(
                [
                    *(label, server, f"{value:,.0f}", _ratio("rate", server, found), spread),
                    *(f"{_median(runs, name) / 1000:,.0f}" for name in times.values()),
                    *(f"{side:.2f}" for side in busy),
                    saturated(busy, result["cpus"], _median(runs, "threads")),
                ]
            )
            label = ""
    return aligned(rows)


def idle(result: Result) -> str:
    """The costs of idle connections."""
    rows = [["idle connections", "", "", "±"]]
    for figure, form, unit in (
        ("memory", ",.0f", "B"),
        ("stop_seconds", ".2f", "s to stop"),
        ("open", ",.0f", "answered"),
    ):
        for case, found in result.get(figure, {}).items():
            label = case
            for server, value in _middle(found).items():
                values = found[server]
                wide = f"{(max(values) - min(values)) / 2:{form}}" if len(values) > 1 else ""
                rows.append([label, server, f"{value:{form}} {unit}", wide])
                label = ""
    return aligned(rows)


def met(result: Result) -> str:
    """The targets that the result has figures for."""
    rows = targets.rows(result)
    if not rows:
        return ""
    return aligned([["target", "", "measured", "wanted", ""], *rows])
