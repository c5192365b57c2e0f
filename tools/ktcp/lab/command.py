# SPDX-License-Identifier: GPL-2.0
"""The commands `bench` and `bench-quick`."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable, Mapping, Sequence

from .. import cli, ui
from . import (
    cases,
    compare,
    guests,
    idle,
    measure,
    pictures,
    programs,
    results,
    servers,
    table,
    web,
)
from .cases import Case
from .guests import Laboratory, Report
from .idle import Figures
from .measure import Counts, Reports
from .results import Result
from .servers import Server

QUICK_SERVERS = (servers.KECHO, servers.EPOLL, servers.URING)

QUICK_FIGURES = ("instructions", "rates", "memory", "stop")

# One more than needed, to see that they agree; if they do not, more follow
COUNT_RUNS = 2

# The figures that FIGURES may name, and their names in a result
FIGURES = {
    "instructions": "instructions",
    "rates": "rate",
    "memory": "memory",
    "stop": "stop_seconds",
    "open": "open",
}


def wanted(among: Iterable[str]) -> list[str]:
    """Those of the figures that the variable FIGURES names, with commas between, or else all."""
    names = [name for name in os.environ.get("FIGURES", "").split(",") if name]
    if unknown := [name for name in names if name not in FIGURES]:
        raise ui.Fail(
            f"FIGURES={','.join(unknown)} is not known", f"use some of: {', '.join(FIGURES)}"
        )
    return names or list(among)


def _put_counts(result: Result, counts: Counts) -> None:
    result["instructions"] = counts
    print(f"\n{table.instructions(result)}\n", flush=True)


def _run(report: Report) -> dict[str, float]:
    """Returns the part of a report that is kept."""
    times, busy = guests.answers(report)["times_ns"], report["busy"]
    kept = {f"{name}_ns": times[name] for name in ("mean", "p50", "p90", "p99", "p99_9", "max")}
    sides = {"load": busy["load"], "server": busy["watched"], "machine": busy["machine"]}
    return {**kept, **sides, "threads": report["settings"]["threads"]}


def _put_rates(result: Result, reports: Reports) -> None:
    def each(figure: str) -> dict[str, dict[str, list[float]]]:
        values: dict[str, dict[str, list[float]]] = {}
        for case, found in reports.items():
            for server, runs in found.items():
                found_answers = [guests.answers(run) for run in runs]
                values.setdefault(case, {})[server] = [
                    run["per_second"] if figure == "rate" else run["times_ns"]["p50"]
                    for run in found_answers
                ]
        return values

    result["cpus"] = guests.CPUS
    result["rate"], result["median_ns"] = each("rate"), each("median_ns")
    result["runs"] = {
        case: {server: [_run(run) for run in runs] for server, runs in found.items()}
        for case, found in reports.items()
    }
    print(f"\n{table.rates(result)}\n", flush=True)


def _put_idle(result: Result, found: Mapping[str, Figures]) -> None:
    result.update(found)
    print(f"\n{table.idle(result)}\n", flush=True)


def _bench(
    kind: str, chosen: Sequence[Server], among: Iterable[Case], figures: Iterable[str]
) -> int:
    started = time.monotonic()
    figures = wanted(figures)
    wanted_cases = cases.chosen(among)
    spoken = {case.protocol for case in wanted_cases}
    chosen = [server for server in servers.chosen(chosen) if server.protocol in spoken]
    load = results.warn_if_busy()
    lab = Laboratory.prepare()
    result = results.begin(lab.kernel, kind)
    result["load_before"] = load
    if "instructions" in figures:
        _put_counts(result, measure.count_all(lab, chosen, wanted_cases, COUNT_RUNS))
    if "rates" in figures:
        _put_rates(result, measure.rate_all(lab, chosen, wanted_cases))
    if names := [FIGURES[name] for name in figures if FIGURES[name] in idle.FIGURES]:
        _put_idle(result, idle.measure(lab, names))
    before = results.previous(result)
    path = results.keep(result)
    drawn = pictures.draw(programs.BENCH, result, path.with_suffix(""))
    results.prune()
    if before is not None:
        print(f"{compare.report(before, result)}\n")
    if text := table.met(result):
        print(f"{text}\n")
    took = ui.duration(time.monotonic() - started)
    print(f"kept as {path}", flush=True)
    if drawn:
        print(f"drawn as {path.with_suffix('')}/*.svg ({len(drawn)} charts)")
    print(f"measured in {took}", flush=True)
    return 0


def _quick_command(_arguments: argparse.Namespace) -> int:
    return _bench("quick", QUICK_SERVERS, cases.QUICK, QUICK_FIGURES)


def _full_command(_arguments: argparse.Namespace) -> int:
    everything = (*servers.ALL, *web.SERVERS), (*cases.FULL, *web.CASES)
    return _bench("full", *everything, FIGURES)


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser("bench-quick", help="measure the main cases")
    command.set_defaults(call=_quick_command)
    command = subparsers.add_parser("bench", help="measure everything")
    command.set_defaults(call=_full_command)
