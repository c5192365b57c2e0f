# SPDX-License-Identifier: GPL-2.0
"""`make plots`: time per echo over the number of clients that send at the same moment.

The experiment that the first kecho was measured with, for each executor and for other servers: N
clients wait for each other, send one small message, and each notes how long its answer takes. The
pictures and the tables of the documentation are written anew.
"""

from __future__ import annotations

import argparse
import re
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import cli, module, ui, vm
from . import charts, guests, programs, results, servers, web
from .charts import Chart
from .guests import CPUS, Laboratory, Report
from .servers import Server

CLIENTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
MESSAGE = 13

# The mean of so many, between which the servers alternate
REPEATS = 3
# Enough echoes for the slowest of a thousand
SAMPLES = 2_000
LEAST_ROUNDS = 10

PICTURES = Path("Documentation/pictures")
PAGE = Path("Documentation/measurements.md")

# The request of a client, by protocol
ASKED = {"echo": f"--size {MESSAGE}", "http": "--path /1k.bin"}

# The servers, by their names in file names
SERVERS = {
    "kthread": servers.kecho("kecho, kthread", 2, "kthread"),
    "workqueue": servers.kecho("kecho, workqueue", 3, "workqueue"),
    "event_loop": servers.kecho("kecho, event_loop", 0, "event_loop"),
    "epoll": servers.EPOLL,
    "khttpd": web.KHTTPD,
}


@dataclass(frozen=True)
class Point:
    """The measurements of N clients, the mean of the repeats; times in seconds."""

    clients: int
    mean: float
    per_second: float
    p50: float
    p90: float
    p99: float
    p99_9: float
    connect: float
    # Clients without an answer, of all repeats
    silent: int

    @staticmethod
    def of(reports: Sequence[Report]) -> Point:
        found = [guests.answers(report) for report in reports]

        def seconds(name: str) -> float:
            return statistics.mean(float(one["times_ns"][name]) for one in found) / 1e9

        made = [float(report["connect"]["times_ns"]["mean"]) for report in reports]
        return Point(
            clients=reports[0]["settings"]["connections"],
            mean=seconds("mean"),
            per_second=statistics.mean(float(one["per_second"]) for one in found),
            p50=seconds("p50"),
            p90=seconds("p90"),
            p99=seconds("p99"),
            p99_9=seconds("p99_9"),
            connect=statistics.mean(made) / 1e9,
            silent=sum(_silent(report) for report in reports),
        )


Sweeps = Mapping[str, Sequence[Point]]


def _failures(part: Mapping[str, Any]) -> int:
    # Beside each count stands the error of the system.
    return sum(int(count) for count in part["failures"].values() if isinstance(count, int))


def _silent(report: Report) -> int:
    """Clients that were not connected, or that lack an answer."""
    found = guests.answers(report)
    return _failures(report["connect"]) + max(int(found["unanswered"]), _failures(found))


def arguments(server: Server, clients: int) -> str:
    """The load, as arguments of the load generator."""
    rounds = max(LEAST_ROUNDS, -(-SAMPLES // clients))
    return f"--connections {clients} --rounds {rounds} --threads {CPUS} {ASKED[server.protocol]}"


def _sweep(guest: vm.Guest, server: Server, tell: Callable[[str], None]) -> list[Report]:
    server.start(guest, CPUS)
    found = []
    for clients in CLIENTS:
        tell(f"{server.name}, N = {clients}")
        found.append(guests.load(guest, server, arguments(server, clients), strict=False))
    server.stop(guest)
    return found


def measure(lab: Laboratory, chosen: Mapping[str, Server]) -> dict[str, list[Point]]:
    """The points of each server."""
    reports: dict[str, list[list[Report]]] = {}
    with ui.Progress("measure the time per echo (two CPUs)") as progress:
        progress.detail("boot")
        with lab.guest("plots") as guest:
            for repeat in range(1, REPEATS + 1):

                def tell(what: str, repeat: int = repeat) -> None:
                    progress.detail(f"repeat {repeat} of {REPEATS}: {what}")

                for name, server in chosen.items():
                    reports.setdefault(name, []).append(_sweep(guest, server, tell))
    return {
        name: [Point.of([sweep[i] for sweep in sweeps]) for i in range(len(CLIENTS))]
        for name, sweeps in reports.items()
    }


# Pictures

CLIENT_AXIS = charts.axis(
    "clients that send at the same moment", log=True, at=[(n, f"{n}") for n in CLIENTS]
)


def _chart(title: str, subtitle: str, y: Chart, lines: Sequence[Chart]) -> Chart:
    return {"title": title, "subtitle": subtitle, "x": CLIENT_AXIS, "y": y, "series": list(lines)}


def pictures(chosen: Mapping[str, Server], sweeps: Sweeps, where: str) -> dict[str, Chart]:
    """Returns the charts by the names of their files; `where` describes the machine."""

    def lines(figure: str) -> list[Chart]:
        return [
            charts.series(
                server.name,
                [(point.clients, getattr(point, figure)) for point in sweeps[name]],
                server.colour,
            )
            for name, server in chosen.items()
        ]

    times = charts.axis("time per echo", log=True, unit="s")
    what = f"{MESSAGE} bytes (khttpd: GET of 1 KiB)"
    found = {
        "echo-time": _chart("Time per echo", f"mean, {what}; {where}", times, lines("mean")),
        "echo-rate": _chart(
            "Echoes a second",
            f"{what}; all clients wait for each other before each; {where}",
            charts.axis("echoes a second"),
            lines("per_second"),
        ),
    }
    # From the top: names of lines that end at the same place are written in this order.
    figures = {"p99_9": "99.9 %", "p99": "99 %", "p90": "90 %", "mean": "mean", "p50": "50 %"}
    for name, server in chosen.items():
        parts = [
            charts.series(
                label, [(point.clients, getattr(point, figure)) for point in sweeps[name]]
            )
            for figure, label in figures.items()
        ]
        title = f"{server.name}: time per echo"
        subtitle = f"mean, and what so many of the echoes took at most; {where}"
        found[f"echo-time-{name}"] = _chart(title, subtitle, times, parts)
    return found


# Tables


def _time(seconds: float) -> str:
    """Three digits and a unit."""
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= factor or unit == "µs":
            value = seconds / factor
            digits = 2 if value < 10 else 1 if value < 100 else 0
            return f"{value:.{digits}f} {unit}"
    raise AssertionError("unreachable")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def short_table(chosen: Mapping[str, Server], sweeps: Sweeps) -> str:
    """The mean of each server for some numbers of clients, and its echoes a second with the most."""
    picked = [n for n in CLIENTS if f"{n}".strip("0") == "1"]
    heads = [f"{n:,} client{'' if n == 1 else 's'}" for n in picked]
    text = _row("time per echo, mean", *heads, "echoes a second", "without an answer")
    text += _row("---", *("--:" for _ in heads), "--:", "--:")
    for name, server in chosen.items():
        by_clients = {point.clients: point for point in sweeps[name]}
        silent = sum(point.silent for point in sweeps[name])
        rate = f"{by_clients[picked[-1]].per_second:,.0f}"
        text += _row(server.name, *(_time(by_clients[n].mean) for n in picked), rate, f"{silent}")
    return text


def full_table(points: Sequence[Point]) -> str:
    """Everything that is known of one server."""
    heads = ("mean", "50 %", "90 %", "99 %", "99.9 %", "a second", "set-up", "without an answer")
    text = _row("clients", *heads) + _row(*("--:" for _ in range(len(heads) + 1)))
    for point in points:
        times = (point.mean, point.p50, point.p90, point.p99, point.p99_9)
        text += _row(
            f"{point.clients:,}",
            *(_time(value) for value in times),
            f"{point.per_second:,.0f}",
            _time(point.connect),
            f"{point.silent}",
        )
    return text


def replaced(text: str, name: str, content: str) -> str:
    """`text` with `content` between its lines `<!-- name -->` and `<!-- end of name -->`."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
    found, count = re.subn(
        f"{re.escape(begin)}.*?{re.escape(end)}",
        lambda _: f"{begin}{content}{end}",
        text,
        flags=re.DOTALL,
    )
    if count != 1:
        raise ui.Fail(f"there is no place for {name}", f"put back the lines {begin}{end}")
    return found


def _page(chosen: Mapping[str, Server], sweeps: Sweeps) -> str:
    text = f"![echoes a second]({PICTURES.name}/echo-rate.svg)\n\n"
    for name, server in chosen.items():
        picture = f"{PICTURES.name}/echo-time-{name}.svg"
        text += f"### {server.name}\n\n![{server.name}: time per echo]({picture})\n\n"
        text += f"{full_table(sweeps[name])}\n"
    return text


def _write(path: Path, name: str, content: str) -> None:
    whole = module.CHECKOUT / path
    whole.write_text(replaced(whole.read_text(), name, content))


def _command(_arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    results.warn_if_busy()
    lab = Laboratory.prepare()
    chosen = SERVERS
    sweeps = measure(lab, chosen)
    when = time.strftime("%B %Y", time.gmtime())
    where = f"Linux {lab.kernel.release}, {CPUS} virtual CPUs"
    for name, chart in pictures(chosen, sweeps, where).items():
        charts.draw(programs.BENCH, chart, module.CHECKOUT / PICTURES / f"{name}.svg")
    on = results.machine(lab.kernel)
    machine = f"{where} ({on['accelerator']}, {on['processor']}), {when}."
    table = short_table(chosen, sweeps)
    _write(PAGE, "plots", f"{machine}\n\n{table}\n{_page(chosen, sweeps)}")
    module.hand_over(module.CHECKOUT / "Documentation")
    print(
        f"{table}\nwrote {PICTURES}/echo-*.svg and {PAGE} in "
        f"{ui.duration(time.monotonic() - started)}",
        flush=True,
    )
    return 0


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser("plots", help="draw the time per echo over clients")
    command.set_defaults(call=_command)
