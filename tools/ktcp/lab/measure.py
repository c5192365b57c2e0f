# SPDX-License-Identifier: GPL-2.0
"""Measures the cases: the instructions of a request, and the requests per second."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from .. import ui, vm
from . import servers
from .cases import Case
from .guests import CALL_SECONDS, CPUS, Laboratory, Report, answers, load
from .servers import Server

# Background work of the boot falls into the first seconds of a guest. An idle guest that counts
# instructions skips over the time.
SETTLE_SECONDS = 30

# Runs that count the same differ by less; another one follows if they do not, up to a limit.
AGREEMENT = 0.01
MOST_COUNT_RUNS = 4

# Guest seconds
COUNT_WARM_UP = 0.1
RATE_WARM_UP = 0.2

# Such a guest keeps one CPU busy, and what it counts does not depend on how busy others are.
COUNTING_GUESTS = 2

# By case, server and run
Counts = dict[str, dict[str, list[float]]]
Reports = dict[str, dict[str, list[Report]]]


def instructions(guest: vm.Guest, server: Server, case: Case) -> float:
    """Returns the instructions of a request, the client's part included."""
    times = f"--requests {case.requests} --warm-up {COUNT_WARM_UP} --threads 1"
    report = load(guest, server, f"{case.arguments} {times}")
    # A nanosecond is an instruction, and the CPU is never idle under load.
    return float(1e9 / answers(report)["per_second"])


def closest(values: Sequence[float]) -> list[float]:
    """The two values that differ least, or the only one.

    What makes a run differ is work of the guest that falls into it, which no run has twice.
    """
    ordered = sorted(values)
    if len(ordered) < 2:
        return ordered
    low, high = min(zip(ordered, ordered[1:]), key=lambda pair: pair[1] / pair[0])
    return [low, high]


def agree(values: Sequence[float]) -> bool:
    pair = closest(values)
    return pair[-1] <= pair[0] * (1 + AGREEMENT)


def rate(guest: vm.Guest, server: Server, case: Case) -> Report:
    """The report of a run with as many clients' threads as CPUs."""
    times = f"--duration {case.seconds} --warm-up {RATE_WARM_UP} --threads {CPUS}"
    return load(guest, server, f"{case.arguments} {times} --watch {server.threads}")


class _Queue:
    """The cases that are still to be counted, for several guests."""

    def __init__(self, cases: Sequence[Case], progress: ui.Progress) -> None:
        self._lock = threading.Lock()
        self._left = list(cases)
        self._total = len(cases)
        self._progress = progress

    def take(self) -> Case | None:
        with self._lock:
            if not self._left:
                return None
            case = self._left.pop(0)
            self._progress.detail(f"{self._total - len(self._left)} of {self._total}: {case.name}")
            return case

    def drop(self) -> None:
        with self._lock:
            self._left.clear()


def _count(
    lab: Laboratory, name: str, chosen: Sequence[Server], queue: _Queue, runs: int
) -> Counts:
    """Counts the cases that one guest gets."""
    found: Counts = {}
    with lab.guest(name, icount=True) as guest:
        servers.start(guest, chosen, cpus=1)
        guest.must(f"sleep {SETTLE_SECONDS}", timeout=CALL_SECONDS)
        while (case := queue.take()) is not None:
            speaking = servers.that_speak(case.protocol, chosen)
            values: dict[str, list[float]] = {server.name: [] for server in speaking}
            for run in range(max(runs, MOST_COUNT_RUNS)):
                for server in speaking:
                    if run < runs or not agree(values[server.name]):
                        values[server.name].append(instructions(guest, server, case))
            found[case.name] = {name: closest(counted) for name, counted in values.items()}
    return found


def count_all(
    lab: Laboratory, chosen: Sequence[Server], cases: Sequence[Case], runs: int
) -> Counts:
    """For each case and server the instructions of a request, in the two runs that agree best.

    All servers of a case are in the same guest.
    """
    cases = [case for case in cases if case.requests]
    if not cases:
        return {}
    with ui.Progress("count instructions (one CPU)") as progress:
        progress.detail("boot")
        queue = _Queue(cases, progress)
        names = [f"bench-count{i + 1}" for i in range(min(COUNTING_GUESTS, len(cases)))]
        with ThreadPoolExecutor(len(names)) as pool:
            try:
                parts = list(pool.map(lambda name: _count(lab, name, chosen, queue, runs), names))
            except BaseException:
                # The other guests are to end, too.
                queue.drop()
                raise
    merged = {case: found for part in parts for case, found in part.items()}
    return {case.name: merged[case.name] for case in cases if case.name in merged}


def rate_all(lab: Laboratory, chosen: Sequence[Server], cases: Sequence[Case]) -> Reports:
    """For each case and server the reports of runs in turns."""
    found: Reports = {}
    with ui.Progress("measure rates and latencies (two CPUs)") as progress:
        progress.detail("boot")
        with lab.guest("bench-rate") as guest:
            servers.start(guest, chosen, cpus=CPUS)
            for number, case in enumerate(cases, 1):
                speaking = servers.that_speak(case.protocol, chosen)
                for run in range(case.runs):
                    # There and back, so that no server always runs after the same other one.
                    for server in speaking if run % 2 == 0 else reversed(speaking):
                        progress.detail(
                            f"{number} of {len(cases)}: {case.name}, run {run + 1} of {case.runs}"
                        )
                        report = rate(guest, server, case)
                        found.setdefault(case.name, {}).setdefault(server.name, []).append(report)
    return found
