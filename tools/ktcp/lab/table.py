# SPDX-License-Identifier: GPL-2.0
"""The figures as tables that a person can read."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

from .measure import Counts, Rates, Report, median

# The server that others are compared with
BASELINE = "epoll"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns that line up: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:]))]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def _ratio(value: float, baseline: float | None) -> str:
    return f"{value / baseline:.3f}" if baseline else ""


def instructions(counts: Counts) -> str:
    rows = [["instructions per echo", "", "thousand", f"to {BASELINE}", "spread"]]
    for case, found in counts.items():
        middle = {server: statistics.median(values) for server, values in found.items()}
        for server, value in middle.items():
            values = found[server]
            spread = f"{100 * (max(values) / min(values) - 1):.2f} %" if len(values) > 1 else ""
            ratio = _ratio(value, middle.get(BASELINE))
            rows.append([case, server, f"{value / 1000:.2f}", ratio, spread])
            case = ""
    return _aligned(rows)


def _per_second(report: Report) -> float:
    return float(report["echo"]["per_second"])


def _micros(reports: Iterable[Report], quantile: str) -> str:
    return f"{median(reports, lambda r: float(r['echo']['times_ns'][quantile])) / 1000:,.0f}"


def saturated(reports: Sequence[Report]) -> str:
    """Which side had no more to give: the median use of CPUs tells."""
    load, server, machine = (
        statistics.median(float(report["busy"][side]) for report in reports)
        for side in ("load", "watched", "machine")
    )
    return f"{load:.2f} {server:.2f} {machine:.2f}"


def rates(found: Rates) -> str:
    head = ["rate and latency", "", "echoes/s", f"to {BASELINE}", "p50 µs", "p90", "p99", "p99.9"]
    rows = [[*head, "CPUs: load server all"]]
    for case, by_server in found.items():
        middle = {server: median(runs, _per_second) for server, runs in by_server.items()}
        for server, value in middle.items():
            runs = by_server[server]
            times = [_micros(runs, quantile) for quantile in ("p50", "p90", "p99", "p99_9")]
            ratio = _ratio(value, middle.get(BASELINE))
            rows.append([case, server, f"{value:,.0f}", ratio, *times, saturated(runs)])
            case = ""
    return _aligned(rows)
