# SPDX-License-Identifier: GPL-2.0
"""Takes the figures: boots the two kinds of guest and runs the load generator in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import accel, kernel, module, ui, vm
from . import programs, servers
from .cases import Case
from .servers import Server

MEMORY = "4G"
CPUS = 2

# Background work of the boot falls into the first seconds of a guest. An idle guest that counts
# instructions skips over the time.
SETTLE_SECONDS = 30
BOOT_SECONDS = 300.0

# Guest seconds
COUNT_WARM_UP = 0.2
RATE_SECONDS = 1.0
RATE_WARM_UP = 0.3

# A limit for a call of the load generator, in seconds of the guest
CALL_SECONDS = 300.0

# A report of `ktcp-bench --json`
Report = dict[str, Any]
# By case, server and run
Counts = dict[str, dict[str, list[float]]]
Reports = dict[str, dict[str, list[Report]]]


@dataclass(frozen=True)
class Laboratory:
    """What the guests are made of."""

    kernel: kernel.Kernel
    modules: tuple[Path, ...]
    programs: dict[str, bytes]

    @staticmethod
    def prepare() -> Laboratory:
        """Builds everything that the guests need."""
        chosen = kernel.prepare()
        modules = module.build(chosen, quiet=True)
        return Laboratory(chosen, tuple(modules.glob("*.ko")), programs.files())

    @contextmanager
    def guest(self, name: str, *, icount: bool = False) -> Iterator[vm.Guest]:
        """A guest that is set up as one sets up a server."""
        guest = vm.Guest(
            self.kernel,
            self.modules,
            accel=accel.choose(self.kernel),
            name=name,
            files=self.programs,
            cpus=1 if icount else CPUS,
            memory=MEMORY,
            boot_seconds=BOOT_SECONDS,
            icount=icount,
        )
        with guest:
            # A server's queue of connections that it has not accepted may be as long as it likes.
            guest.must("echo 65535 >/proc/sys/net/core/somaxconn")
            # TIME_WAIT keeps a port for a minute.
            guest.must("echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range")
            yield guest


def load(guest: vm.Guest, server: Server, arguments: str) -> Report:
    """Runs the load generator against a server; its report."""
    outcome = guest.run(
        f"ktcp-bench echo --connect {server.address} --quiet --json /run/report {arguments}",
        timeout=CALL_SECONDS,
    )
    if outcome.status != 0:
        summary = guest.run("cat /run/report").output if outcome.status == 1 else ""
        raise ui.Fail(
            f"{server.name} did not answer everything ({arguments}): "
            f"status {outcome.status}\n{outcome.output}{summary}",
            f"the guest's console is in {guest.log}",
        )
    report: Report = json.loads(guest.pull("/run/report"))
    return report


def instructions(guest: vm.Guest, server: Server, case: Case) -> float:
    """How many instructions an echo costs, the client's part included."""
    times = f"--requests {case.echoes} --warm-up {COUNT_WARM_UP} --threads 1"
    report = load(guest, server, f"{case.arguments} {times}")
    # A nanosecond is an instruction, and the CPU is never idle under load.
    return float(1e9 / report["echo"]["per_second"])


def rate(guest: vm.Guest, server: Server, case: Case) -> Report:
    """The report of a run with as many clients' threads as CPUs."""
    times = f"--duration {RATE_SECONDS} --warm-up {RATE_WARM_UP} --threads {CPUS}"
    return load(guest, server, f"{case.arguments} {times} --watch {server.threads}")


def count_all(
    lab: Laboratory, chosen: Sequence[Server], cases: Iterable[Case], runs: int
) -> Counts:
    """For each case and server the instructions of an echo in each run."""
    found: Counts = {}
    with ui.Progress("count instructions (one CPU)") as progress:
        progress.detail("boot")
        with lab.guest("bench-count", icount=True) as guest:
            servers.start(guest, chosen, cpus=1)
            guest.must(f"sleep {SETTLE_SECONDS}", timeout=CALL_SECONDS)
            for case in cases:
                for server in list(chosen) * runs:
                    progress.detail(f"{case.name}: {server.name}")
                    value = instructions(guest, server, case)
                    found.setdefault(case.name, {}).setdefault(server.name, []).append(value)
    return found


def rate_all(
    lab: Laboratory, chosen: Sequence[Server], cases: Iterable[Case], runs: int
) -> Reports:
    """For each case and server the reports of runs that alternate."""
    found: Reports = {}
    with ui.Progress("measure rates and latencies (two CPUs)") as progress:
        progress.detail("boot")
        with lab.guest("bench-rate") as guest:
            servers.start(guest, chosen, cpus=CPUS)
            for case in cases:
                for run in range(runs):
                    for server in chosen:
                        progress.detail(f"{case.name}: {server.name}, {run + 1} of {runs}")
                        report = rate(guest, server, case)
                        found.setdefault(case.name, {}).setdefault(server.name, []).append(report)
    return found
