# SPDX-License-Identifier: GPL-2.0
"""The commands `bench` and `bench-quick`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence

from .. import cli, ui
from . import cases, compare, guests, measure, results, servers, table, web
from .cases import Case
from .guests import Laboratory, Report
from .measure import Counts, Reports
from .results import Result
from .servers import Server

QUICK_SERVERS = (servers.KECHO, servers.EPOLL, servers.URING)

# Runs of the servers that alternate; the median counts.
RATE_RUNS = 5
# One more than needed, to see that they agree
COUNT_RUNS = 2

FIGURES = ("instructions", "rates")

# Other work of this machine, in CPUs, with which rates and latencies say little
BUSY = 0.5


def _wanted(figure: str) -> bool:
    wish = os.environ.get("FIGURES", "")
    if wish and wish not in FIGURES:
        raise ui.Fail(f"FIGURES={wish} is not known", f"use one of: {', '.join(FIGURES)}")
    return wish in ("", figure)


def _put_counts(result: Result, counts: Counts) -> None:
    result["instructions"] = counts
    print(f"\n{table.instructions(result)}\n", flush=True)


def _run(report: Report) -> dict[str, float]:
    """What is kept of a report."""
    times, busy = guests.answers(report)["times_ns"], report["busy"]
    kept = {f"{name}_ns": times[name] for name in ("mean", "p50", "p90", "p99", "p99_9", "max")}
    return {**kept, "load": busy["load"], "server": busy["watched"], "machine": busy["machine"]}


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


def _warn_if_busy() -> float:
    load = os.getloadavg()[0]
    if load > BUSY:
        ui.warn(
            f"this machine is busy with other work (load {load:.1f}): "
            "instructions are right all the same, rates and latencies are not"
        )
    return load


def _bench(kind: str, chosen: Sequence[Server], wanted: Iterable[Case]) -> int:
    wanted = cases.chosen(wanted)
    spoken = {case.protocol for case in wanted}
    chosen = [server for server in servers.chosen(chosen) if server.protocol in spoken]
    load = _warn_if_busy()
    lab = Laboratory.prepare()
    result = results.begin(lab.kernel, kind)
    result["load_before"] = load
    if _wanted("instructions"):
        _put_counts(result, measure.count_all(lab, chosen, wanted, COUNT_RUNS))
    if _wanted("rates"):
        _put_rates(result, measure.rate_all(lab, chosen, wanted, RATE_RUNS))
    before = results.previous(result)
    path = results.keep(result)
    results.prune()
    if before is not None:
        print(compare.report(before, result))
    print(f"kept as {path}", flush=True)
    return 0


def _quick_command(_arguments: argparse.Namespace) -> int:
    return _bench("quick", QUICK_SERVERS, cases.QUICK)


def _full_command(_arguments: argparse.Namespace) -> int:
    return _bench("full", (*servers.ALL, *web.SERVERS), (*cases.FULL, *web.CASES))


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser("bench-quick", help="measure the main cases")
    command.set_defaults(call=_quick_command)
    command = subparsers.add_parser("bench", help="measure everything")
    command.set_defaults(call=_full_command)
