# SPDX-License-Identifier: GPL-2.0
"""`make soak`: one guest for MINUTES, with load, disturbances, and quiet phases in which nothing may grow.

A load phase has crowds of clients in the guest, some of them across a line to another network namespace,
and disturbances at random. After it everything has to be answered again. In the quiet phase all
connections have ended, and what may have grown is measured.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from . import accel, cli, disturbances, distribution, growth, initramfs, module, ui, userland, vm
from .control import KILLED, Command
from .disturbances import IP, Field, sh
from .kernel import Kernel
from .lab import programs

MINUTES = 20
LOAD_SECONDS = 25.0
# Before a command of the guest is killed; none is meant to take a third of it.
PATIENCE_SECONDS = 90.0
# For clients that are under way when a load phase ends, some of them in a call that waits for 20 s
CLIENT_SECONDS = 240.0
# Idle timeout, close timeout, and a guest that shares its processors
END_SECONDS = 40.0
# Quiet phases in which caches, pools and the threads of work queues reach their size
WARM_UP = 2

FILE = "/srv/www/file"
URL = "http://127.0.0.1:8080/file"
NEAR = "127.0.0.1:12345"
FAR = "10.9.0.1:12345"
IN_FAR = f"{IP} netns exec far"
SERVERS = ("kecho", "khttpd")


@dataclass(frozen=True)
class Figure:
    """A thing that is measured in quiet phases, and the growth of a phase that is none yet."""

    name: str
    threshold: float


# Kilobytes: below that pages of caches come and go. Slab caches: objects of the per-CPU sheaves, which
# /proc/slabinfo counts as in use. Pages: each CPU has up to 256 of them reserved. The others are exact.
FIGURES = {
    "memory_kb": Figure("memory in use, kB", 128),
    "slab_kb": Figure("slab, kB", 64),
    "sunreclaim_kb": Figure("slab that cannot be reclaimed, kB", 64),
    "percpu_kb": Figure("per-CPU memory, kB", 8),
    "stacks_kb": Figure("stacks of tasks, kB", 8),
    "anonymous_kb": Figure("memory of processes, kB", 64),
    "shared_kb": Figure("files in memory, kB", 64),
    "vmalloc_kb": Figure("vmalloc, kB", 64),
    "slab_TCP": Figure("slab objects: TCP", 8),
    "slab_TCPv6": Figure("slab objects: TCPv6", 8),
    "slab_request_sock_TCP": Figure("slab objects: request_sock_TCP", 8),
    "slab_tw_sock_TCP": Figure("slab objects: tw_sock_TCP", 8),
    "slab_sock_inode_cache": Figure("slab objects: sock_inode_cache", 8),
    "slab_net_namespace": Figure("slab objects: net_namespace", 0.5),
    "sockets": Figure("sockets", 0.5),
    "tcp_inuse": Figure("TCP sockets", 0.5),
    "tcp_orphans": Figure("TCP sockets without a file", 0.5),
    "tcp_tw": Figure("TCP sockets in TIME-WAIT", 0.5),
    "tcp_pages": Figure("pages of TCP buffers", 64),
    "tasks": Figure("tasks", 0.5),
    "refcount_ktcp_server": Figure("users of ktcp_server", 0.1),
    "refcount_kecho": Figure("users of kecho", 0.1),
    "refcount_khttpd": Figure("users of khttpd", 0.1),
    "refcount_chat": Figure("users of chat", 0.1),
}

Row = Sequence[str]
Phase = Mapping[str, int]


def markdown(heads: Row, rows: Iterable[Row]) -> str:
    """A table whose first column is text, and whose others are figures."""
    lines = [heads, ["---", *("--:" for _ in heads[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def growths(phases: Sequence[Phase], warm_up: int = WARM_UP) -> tuple[list[Row], list[str]]:
    """The row of each figure, and the names of those that grew."""
    rows: list[Row] = []
    grew: list[str] = []
    for key, figure in FIGURES.items():
        if any(key not in phase for phase in phases):
            continue
        values = [phase[key] for phase in phases[warm_up:]]
        trend = growth.trend(values)
        if trend is None:
            slope, verdict = "", "too few phases"
        else:
            slope = f"{trend.slope:+.2f} ± {trend.margin:.2f}"
            verdict = "grew" if trend.grew(figure.threshold) else "no"
        if verdict == "grew":
            grew.append(figure.name)
        ends = (f"{values[0]:,}", f"{values[-1]:,}") if values else ("", "")
        rows.append((figure.name, *ends, slope, f"{figure.threshold:g}", verdict))
    return rows, grew


def number(name: str, default: int, most: int) -> int:
    """The number that a variable of the environment gives."""
    text = os.environ.get(name) or str(default)
    if not text.isdecimal() or not 0 < int(text) <= most:
        raise ui.Fail(f"{name}={text} is no such number", f"choose one from 1 to {most}")
    return int(text)


class Soak:
    """One soak, in a guest that runs."""

    def __init__(self, guest: vm.Guest, seed: int) -> None:
        self._guest = guest
        self.field = Field(guest, seed)
        self.counts: Counter[str] = Counter()
        self.phases: list[Phase] = []
        self._started = time.monotonic()

    def run(self, minutes: int) -> None:
        """Has phases alternate, as long as one more of each fits into the time."""
        deadline = self._started + 60 * minutes
        self._guest.must(
            "sysctl -qw net.ipv4.ip_local_port_range='1024 65000' net.core.somaxconn=512"
        )
        self.field.load()
        longest = 0.0
        while not self.phases or time.monotonic() + longest < deadline:
            began = time.monotonic()
            self._load()
            self.field.load_usual()
            self._answered()
            self._quiet()
            longest = max(longest, time.monotonic() - began)

    def _say(self, text: str) -> None:
        ui.say(f"{ui.duration(time.monotonic() - self._started):>12}  {text}")

    # Load

    def _clients(self) -> list[Command]:
        seed = self.field.random.randrange(1 << 32)
        options = f"--seed {seed} --seconds {CLIENT_SECONDS - 40:g} --until /tmp/over"
        lines = [
            f"crowd storm --clients 30 --bytes 60000 --addr {NEAR} {options}",
            f"{IN_FAR} /bin/crowd storm --clients 10 --bytes 30000 --addr {FAR} {options}",
            # Those that are held are refused while no server is loaded, which ends them.
            f"crowd hold --clients 50 --addr {NEAR} {options}",
            f"crowd deaf --clients 5 --addr {NEAR} {options}",
            sh("clients", seed, NEAR),
            f"{IN_FAR} {sh('clients', seed + 1000, FAR)}",
            sh("fetches", URL, FILE),
        ]
        return [self._guest.start(line, CLIENT_SECONDS) for line in lines]

    def _load(self) -> None:
        phase = len(self.phases) + 1
        self.field.begin(phase)
        self.field.must(f"rm -f /tmp/over; {sh('line')}")
        clients = self._clients()
        until = time.monotonic() + LOAD_SECONDS
        left: list[tuple[str, ...]] = []
        while time.monotonic() < until:
            left = left or disturbances.pairs(self.field.random)
            names = left.pop()
            self._say(f"load {phase}: {' and '.join(names)}")
            with ExitStack() as stack:
                for name in names:
                    stack.enter_context(disturbances.ALL[name](self.field))
                    self.field.done[name] += 1
                self.field.pause(1.5)
            self.field.pause(1.5)
            self._guest.check()
        self._guest.must("touch /tmp/over")
        for client in clients:
            outcome = self._guest.finish(client)
            self._count(outcome.output)
            if outcome.status == KILLED:
                self.field.hangs += 1
                raise ui.Fail(f"`{client.text}` does not end")

    def _count(self, output: str) -> dict[str, int]:
        counts = growth.counted(output)
        self.counts.update(counts)
        if counts.get("corrupt"):
            raise ui.Fail(f"a client has received wrong bytes:\n{output}")
        return counts

    def _answered(self) -> None:
        """Has clients near and far answered, now that nothing is disturbed."""
        wanted = ("ask --clients 30 --bytes 2000", "transfer --clients 10 --bytes 100000")
        for prefix, addr in (("", NEAR), (f"{IN_FAR} ", FAR)):
            for command in (*wanted, "part --clients 5 --bytes 60000 --for 1"):
                line = f"{prefix}/bin/crowd {command} --seconds 60 --addr {addr}"
                outcome = self._guest.run(line, PATIENCE_SECONDS)
                counts = self._count(outcome.output)
                # The idle timeout may have ended one that had no answer: its state does not tell.
                if silent := int(command.split()[2]) - counts.get("complete", 0):
                    self.field.hangs += silent
                    raise ui.Fail(
                        f"`{line}` is not answered in full when all is calm again:\n{outcome.output}"
                    )
        self._guest.must(f"wget -q -T 30 -O - {URL} | cmp - {FILE}", PATIENCE_SECONDS)

    # Quiet

    def _open(self) -> int:
        lines = "".join(
            self._guest.must(f"cat /sys/kernel/debug/ktcp_server/{server}*/stats")
            for server in SERVERS
        )
        counts = growth.counted(lines)
        return counts["open"] + counts["closing"]

    def _quiet(self) -> None:
        self.field.must(sh("unline"))
        deadline = time.monotonic() + END_SECONDS
        while left := self._open():
            if time.monotonic() > deadline:
                self.field.hangs += left
                raise ui.Fail(f"{left} connections are left {END_SECONDS:g} s after their clients")
            time.sleep(0.5)
        phase = growth.counted(self._guest.must(sh("measure"), PATIENCE_SECONDS))
        self._guest.check()
        self.phases.append(phase)
        shown = ", ".join(f"{key} {phase[key]}" for key in ("memory_kb", "slab_kb", "tasks"))
        self._say(f"quiet {len(self.phases)}: {shown}, {self.counts['connections']} connections")

    # The end

    def _checked(self) -> list[Row]:
        done = self.field.done
        return [
            ("connections made", f"{self.counts['connections']:,}"),
            ("clients that were answered in full", f"{self.counts['complete']:,}"),
            ("bytes compared", f"{self.counts['compared']:,}"),
            ("clients with wrong bytes", f"{self.counts['corrupt']:,}"),
            ("hangs", f"{self.field.hangs:,}"),
            ("longest unload, s", f"{self.field.longest_unload:.1f}"),
            ("quiet phases", f"{len(self.phases)}"),
            *((f"disturbance: {name}", f"{done[name]:,}") for name in disturbances.ALL),
        ]

    def report(self) -> list[str]:
        """Prints the tables; returns the names of what grew."""
        heads = ("grown from phase to phase", "first", "last", "slope, 95 %", "threshold", "grew")
        rows, grew = growths(self.phases)
        print(f"\n{markdown(('checked', 'count'), self._checked())}\n")
        print(f"{markdown(heads, rows)}\n", flush=True)
        return grew


def _guest(kernel: Kernel) -> vm.Guest:
    scripts = sorted((initramfs.GUEST / "soak").glob("*.sh"))
    crowd = programs.build("ktcp-crowd", profile="dev")["ktcp-crowd"]
    return vm.Guest(
        kernel,
        module.build(kernel, quiet=True).glob("*.ko"),
        accel=accel.choose(kernel),
        name="soak",
        files={
            "/bin/crowd": crowd.read_bytes(),
            FILE: random.Random(0).randbytes(1_000_003),
            **{f"{disturbances.FOLDER}/{path.name}": path.read_bytes() for path in scripts},
            **userland.programs(["ip", "tc", "ss"]),
        },
        drivers=["veth", "sch_netem", "tcp_diag"],
        memory="1G",
    )


def run(minutes: int, seed: int) -> int:
    ui.say(f"a soak of {minutes} min; the same disturbances again: SEED={seed}")
    with _guest(distribution.prepare()) as guest:
        soak = Soak(guest, seed)
        try:
            soak.run(minutes)
            soak.field.unload(*SERVERS, "ktcp_server")
        finally:
            grew = soak.report()
    if grew:
        raise ui.Fail(f"from quiet phase to quiet phase there is more: {', '.join(grew)}")
    return 0


def _soak_command(_arguments: argparse.Namespace) -> int:
    return run(number("MINUTES", MINUTES, 7 * 24 * 60), number("SEED", int(time.time()), 1 << 32))


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser("soak", help="load, disturb and measure a guest, for MINUTES")
    command.set_defaults(call=_soak_command)
