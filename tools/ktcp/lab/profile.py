# SPDX-License-Identifier: GPL-2.0
"""The command `profile`: where the instructions of an echo, or of an HTTP request, go.

A plugin of QEMU (tools/qemu/count.c) counts how often each block of code runs in a guest that
counts instructions. The cost of a load is subtracted from the cost of a load with twice as many
requests, so that everything else cancels out.
"""

from __future__ import annotations

import argparse
import bisect
import json
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from .. import cache, cli, module, ui, vm
from . import charts, pictures, programs, servers, web
from .charts import Chart
from .guests import CALL_SECONDS, Laboratory, load
from .measure import SETTLE_SECONDS
from .servers import Server

SOURCE = module.CHECKOUT / "tools/qemu/count.c"
PLUGIN = module.BUILD / "qemu" / "libcount.so"
FOLDER = module.BUILD / "profile"

DUMP_SECONDS = 60.0

# Functions that cost less, in instructions a request, are left out of the table.
LEAST = 40.0

# The first expression that is found in a function's name says where it belongs.
GROUPS = (
    ("the library and its handler", r"\[(ktcp_server|kecho|khttpd)\]"),
    ("programs in user space", r"^user space"),
    ("zeroing of fresh memory", r"memset|clear_page"),
    ("copies", r"copy|memcpy|memmove|csum|checksum"),
    (
        "memory",
        r"kmem|kmalloc|kfree|slab|page_frag|free_frozen|alloc_pages|skb_free|kfree_skb|alloc_skb"
        r"|skb_release|skb_clone|build_skb|put_page|folio|memcg|obj_cgroup",
    ),
    ("TCP", r"tcp|inet_|^sk_|__sk_|^sock_(rfree|wfree|def)|bbr|cubic|skb_|^__skb"),
    (
        "IP and the loopback device",
        r"ip_|^ip|loopback|^dev_|__dev_|netif|net_rx|process_backlog|dst_|neigh|eth_|nf_|napi|fib"
        r"|softnet|qdisc|validate_xmit|harmonize",
    ),
    ("timers", r"timer|hrtimer|ktime|clock|jiffies"),
    (
        "scheduler, softirqs and interrupts",
        r"sched|wake|task|rq_|enqueue|dequeue|softirq|irq|bh_enable|bh_disable|pick_|switch|idle"
        r"|vruntime|entity|avg|kthread|interrupt|rcu|preempt",
    ),
    (
        "system calls and epoll",
        r"sys|entry|epoll|^ep_|__ep|fd|file|sock|security|lsm|iov|iter|vfs|apparmor|aa_|audit",
    ),
    ("the rest", r""),
)


@dataclass(frozen=True)
class Load:
    """A load on a server."""

    connections: int
    size: int
    requests: int
    protocol: str = "echo"

    @property
    def arguments(self) -> str:
        if self.protocol == "http":
            return f"--connections {self.connections} --path {web.path(self.size)}"
        return f"--connections {self.connections} --size {self.size}"

    @property
    def one(self) -> str:
        """The word for one request."""
        return "a request" if self.protocol == "http" else "an echo"

    def repeated(self, times: int) -> Load:
        return replace(self, requests=times * self.requests)


# Functions and blocks


class Symbols:
    """The functions of a kernel and its modules."""

    def __init__(self, kallsyms: str) -> None:
        found: dict[int, str] = {}
        for line in kallsyms.splitlines():
            address, kind, *name = line.split()
            if kind in "tTwW":
                found.setdefault(int(address, 16), " ".join(name))
        self._addresses = sorted(found)
        self._names = [found[address] for address in self._addresses]

    def name(self, address: int) -> str:
        """The function in which an address is."""
        if address < 1 << 63:
            return "user space"
        place = bisect.bisect_right(self._addresses, address)
        return self._names[place - 1] if place else "?"


def group(function: str) -> str:
    """Returns the group of a function."""
    return next(name for name, pattern in GROUPS if re.search(pattern, function))


def parse(counts: str) -> Counter[int]:
    """Returns instructions by the address of their block, from the output of the plugin."""
    found: Counter[int] = Counter()
    for line in counts.splitlines():
        address, instructions, runs = line.split()
        found[int(address, 16)] += int(instructions) * int(runs)
    return found


def by_function(blocks: Counter[int], symbols: Symbols) -> Counter[str]:
    found: Counter[str] = Counter()
    for address, instructions in blocks.items():
        found[symbols.name(address)] += instructions
    return found


# The guest


def _build_plugin() -> None:
    PLUGIN.parent.mkdir(parents=True, exist_ok=True)
    command = [
        "gcc",
        "-O2",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-shared",
        "-fPIC",
        "-fvisibility=hidden",
    ]
    with ui.Progress("build the plugin that counts") as progress:
        ui.run_logged([*command, "-o", str(PLUGIN), str(SOURCE)], cache.log("plugin"), progress)
    module.hand_over(module.BUILD)


class Counting:
    """The counts of a guest that runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._orders = folder / "orders"
        os.mkfifo(self._orders)

    @property
    def options(self) -> list[str]:
        return ["-plugin", f"{PLUGIN},orders={self._orders}"]

    def now(self) -> Counter[int]:
        target = self._folder / "counts"
        target.unlink(missing_ok=True)
        with self._orders.open("w") as orders:
            print(target, file=orders)
        deadline = time.monotonic() + DUMP_SECONDS
        while not target.exists():
            if time.monotonic() > deadline:
                raise ui.Fail("the plugin of QEMU does not write its counts", "see the guest's log")
            time.sleep(0.05)
        return parse(target.read_text())


@contextmanager
def _guest(lab: Laboratory) -> Iterator[tuple[vm.Guest, Counting]]:
    with tempfile.TemporaryDirectory(prefix="ktcp-profile.") as folder:
        counting = Counting(Path(folder))
        with lab.guest("profile", icount=True, options=counting.options) as guest:
            yield guest, counting


def _cost(guest: vm.Guest, counting: Counting, server: Server, wanted: Load) -> Counter[int]:
    """Counts the instructions of a load, including those that do not depend on the number of requests."""
    before = counting.now()
    load(guest, server, f"{wanted.arguments} --requests {wanted.requests} --warm-up 0 --threads 1")
    after = counting.now()
    after.subtract(before)
    return after


def _profile(guest: vm.Guest, counting: Counting, server: Server, wanted: Load) -> Counter[int]:
    """Instructions in each block for all requests of `wanted`."""
    # The first run lets everything get to its size.
    _cost(guest, counting, server, wanted)
    once = _cost(guest, counting, server, wanted)
    twice = _cost(guest, counting, server, wanted.repeated(2))
    twice.subtract(once)
    return twice


# Output


Profile = dict[str, dict[str, float]]


def by_group(functions: Mapping[str, float]) -> dict[str, float]:
    """Sums the instructions of the functions of each group."""
    found = {name: 0.0 for name, _ in GROUPS}
    for function, value in functions.items():
        found[group(function)] += value
    return found


def table(profile: Profile, one: str = "an echo") -> str:
    """Groups, then functions, with a column for each server."""

    def row(title: str, values: Iterable[float]) -> str:
        return "".join(f"{value:>10,.0f}" for value in values) + f"  {title}"

    def column(name: str) -> list[float]:
        return [functions.get(name, 0.0) for functions in profile.values()]

    groups = [by_group(functions) for functions in profile.values()]
    lines = ["".join(f"{name:>10}" for name in profile) + f"  instructions {one}"]
    lines += [row(name, (found[name] for found in groups)) for name, _ in GROUPS]
    lines += [row("all", (sum(found.values()) for found in groups)), ""]
    every = {function for functions in profile.values() for function in functions}
    for function in sorted(every, key=lambda name: (-max(column(name)), name)):
        if max(column(function)) >= LEAST:
            lines.append(row(function, column(function)))
    return "\n".join(lines)


def chart(profile: Profile, wanted: Load) -> Chart:
    """The groups as a picture."""
    rows = [name for name, _ in GROUPS]
    series = []
    for server, functions in profile.items():
        found = by_group(functions)
        points = [(found[name], float(place)) for place, name in enumerate(rows)]
        series.append(charts.series(server, points, pictures.COLOURS[server]))
    return {
        "title": f"Where the instructions of {wanted.one} go",
        "subtitle": f"{wanted.connections:,} connections, {wanted.size:,} bytes; client included",
        "x": charts.axis(f"instructions {wanted.one}"),
        "rows": rows,
        "series": series,
    }


def _number(name: str, default: int) -> int:
    value = os.environ.get(name) or str(default)
    if not value.isdecimal() or int(value) < 1:
        raise ui.Fail(f"{name}={value} is no number from 1 on", f"for example: {name}={default}")
    return int(value)


def _chosen() -> tuple[Server, ...]:
    """The servers that the variable SERVERS names, all of which speak the same protocol."""
    chosen = servers.chosen((servers.KECHO, servers.EPOLL), others=web.SERVERS)
    protocols = sorted({server.protocol for server in chosen})
    if len(protocols) > 1:
        raise ui.Fail(
            f"SERVERS names servers that speak {' and '.join(protocols)}, which cannot be compared",
            "name those of one protocol",
        )
    return chosen


def _wanted(protocol: str = "echo") -> Load:
    connections = _number("CONNECTIONS", 64)
    size = _number("SIZE", web.KIB if protocol == "http" else 64)
    if protocol == "http" and size not in web.FILES.values():
        sizes = " and ".join(str(size) for size in web.FILES.values())
        raise ui.Fail(f"SIZE={size} is no size of a file that is given out", f"they are {sizes}")
    # Enough for rare events to even out, in whole rounds of the connections.
    rounds = max(4, 8192 // (connections * max(1, size // 4096)))
    return Load(connections, size, rounds * connections, protocol)


def run(chosen: Iterable[Server], wanted: Load) -> Profile:
    lab = Laboratory.prepare()
    _build_plugin()
    found: Profile = {}
    with ui.Progress(f"profile {wanted.connections} connections, {wanted.size} bytes") as progress:
        progress.detail("boot")
        with _guest(lab) as (guest, counting):
            chosen = tuple(chosen)
            servers.start(guest, chosen, cpus=1)
            symbols = Symbols(guest.pull("/proc/kallsyms").decode())
            guest.must(f"sleep {SETTLE_SECONDS}", timeout=CALL_SECONDS)
            for server in chosen:
                progress.detail(server.name)
                blocks = _profile(guest, counting, server, wanted)
                found[server.name] = {
                    function: count / wanted.requests
                    for function, count in by_function(blocks, symbols).items()
                }
    return found


def _profile_command(_arguments: argparse.Namespace) -> int:
    chosen = _chosen()
    wanted = _wanted(chosen[0].protocol)
    profile = run(chosen, wanted)
    print(f"\n{table(profile, wanted.one)}\n", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "profile.json").write_text(json.dumps(profile, indent=1))
    charts.draw(programs.build()["ktcp-bench"], chart(profile, wanted), FOLDER / "profile.svg")
    module.hand_over(module.BUILD)
    print(f"all functions, and a picture: {FOLDER.relative_to(module.CHECKOUT)}/profile.*")
    return 0


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser("profile", help="where the instructions of a request go")
    command.set_defaults(call=_profile_command)
