# SPDX-License-Identifier: GPL-2.0
"""A result as charts."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path

from . import charts, servers, table, web
from .cases import FULL, Case, size_of
from .charts import Chart
from .results import Result

# By case, server and run
Figures = Mapping[str, Mapping[str, list[float]]]

COLOURS = {server.name: server.colour for server in (*servers.ALL, *web.SERVERS)}

CONNECTIONS = charts.axis(
    "connections", log=True, at=[(n, f"{n:,}") for n in (1, 16, 64, 256, 1000, 4000)]
)
SIZES = charts.axis(
    "bytes of a message",
    log=True,
    at=[(n, size_of(n)) for n in (13, 64, 256, 1024, 4096, 16 << 10, 64 << 10, 256 << 10, 1 << 20)],
)


def _names(figures: Figures) -> list[str]:
    """The servers, in the order in which they are known."""
    present = {server for found in figures.values() for server in found}
    return [name for name in COLOURS if name in present]


def _lines(figures: Figures, group: Iterable[Case], factor: float = 1.0) -> list[Chart]:
    """Returns a line for each server, over the setting in which the cases differ."""
    cases = sorted(group, key=lambda case: case.x)
    found = []
    for name in _names(figures):
        points = [
            (case.x, factor * statistics.median(figures[case.name][name]))
            for case in cases
            if name in figures.get(case.name, {})
        ]
        if points:
            found.append(charts.series(name, points, COLOURS[name]))
    return found


def _ratios(figures: Figures) -> tuple[list[str], list[Chart]]:
    """The cases, and how each server compares with the baseline in them."""
    rows: list[str] = []
    points: dict[str, list[tuple[float, float]]] = {name: [] for name in _names(figures)}
    for case, found in figures.items():
        middle = {name: statistics.median(values) for name, values in found.items()}
        baseline = next((middle[name] for name in table.BASELINES if middle.get(name)), None)
        if baseline is None or len(middle) < 2:
            continue
        for name, value in middle.items():
            points[name].append((value / baseline, float(len(rows))))
        rows.append(case)
    return rows, [
        charts.series(name, found, COLOURS[name]) for name, found in points.items() if found
    ]


def _overview(title: str, subtitle: str, label: str, figures: Figures) -> Chart:
    rows, series = _ratios(figures)
    x = charts.axis(label, log=True)
    return {"title": title, "subtitle": subtitle, "x": x, "rows": rows, "series": series}


def _bytes_per_second(figures: Figures, group: Iterable[Case]) -> Figures:
    return {
        case.name: {
            name: [value * case.x for value in values]
            for name, values in figures.get(case.name, {}).items()
        }
        for case in group
    }


def _quantile(result: Result, name: str) -> Figures:
    """A latency in seconds, of each run."""
    return {
        case: {server: [run[name] / 1e9 for run in runs] for server, runs in found.items()}
        for case, found in result.get("runs", {}).items()
    }


def all_of(result: Result) -> dict[str, Chart]:
    """The charts, by the names of their files."""
    commit = f"{result['commit'][:12]}{'+' if result['changed'] else ''}"
    where = f"Linux {result['kernel']}, {result['machine']['accelerator']}, commit {commit}"
    counted, rate = result.get("instructions", {}), result.get("rate", {})
    # Those of one size, for what is drawn over connections, and the other way round
    by_connections = [case for case in FULL if case.group == "connections"]
    by_size = [case for case in FULL if case.group == "sizes"]
    found: dict[str, Chart] = {}

    def add(name: str, title: str, x: Chart, y: Chart, lines: list[Chart]) -> None:
        if any(len(line["points"]) > 1 for line in lines):
            found[name] = {"title": title, "subtitle": where, "x": x, "y": y, "series": lines}

    thousand = charts.axis("thousand instructions, client included")
    add(
        "instructions-connections",
        "Instructions per echo, 64 bytes",
        CONNECTIONS,
        thousand,
        _lines(counted, by_connections, 1e-3),
    )
    add(
        "instructions-sizes",
        "Instructions per echo, by size",
        SIZES,
        {**thousand, "log": True},
        _lines(counted, by_size, 1e-3),
    )
    add(
        "rate-connections",
        "Echoes a second, 64 bytes",
        CONNECTIONS,
        charts.axis("echoes a second"),
        _lines(rate, by_connections),
    )
    add(
        "rate-sizes",
        "Bytes a second in each direction, by size",
        SIZES,
        charts.axis("bytes a second", log=True, unit="B/s"),
        _lines(_bytes_per_second(rate, by_size), by_size),
    )
    for quantile, words in (("p50", "half"), ("p99", "99 %")):
        add(
            f"latency-{quantile}",
            f"Time within which {words} of the echoes come, 64 bytes",
            CONNECTIONS,
            charts.axis("time", log=True, unit="s"),
            _lines(_quantile(result, f"{quantile}_ns"), by_connections),
        )
    for name, title, better, figures in (
        ("instructions", "Instructions per request", "less", counted),
        ("rate", "Requests a second", "more", rate),
    ):
        chart = _overview(
            f"{title}, {' and '.join(table.BASELINES)} = 1",
            f"{better} is better; {where}",
            "ratio",
            figures,
        )
        if chart["rows"]:
            found[name] = chart
    return found


def draw(program: Path, result: Result, folder: Path) -> list[Path]:
    """Draws them with `program`, which is ktcp-bench; the files."""
    written = []
    for name, chart in all_of(result).items():
        written.append(folder / f"{name}.svg")
        charts.draw(program, chart, written[-1])
    return written
