# SPDX-License-Identifier: GPL-2.0
"""Disturbances of a guest under load, for `make soak`: each is a context manager that undoes itself."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from . import ui, vm

FOLDER = "/soak"
IP = "/usr/bin/ip"
TC = "/usr/bin/tc"
CPU = "/sys/devices/system/cpu/cpu1/online"

# Lines that lose, delay, reorder, duplicate and corrupt
LINES = (
    "loss 3% delay 2ms",
    "delay 8ms reorder 30% 50% gap 3",
    "delay 10ms 8ms duplicate 5%",
    "corrupt 2% delay 1ms",
    "delay 5ms rate 8mbit limit 70",
)

EXECUTORS = ("event_loop", "workqueue", "kthread")
# kecho drains for 5 s; the rest is for a guest that shares its processors.
UNLOAD_SECONDS = 30.0
COMMAND_SECONDS = 60.0
# What the pressure leaves, so that the kernel reclaims and need not kill
AVAILABLE_KB = 160_000
DAY = 86_400


def sh(name: str, *arguments: object) -> str:
    """The command for the shell program NAME.sh of tools/guest/soak/."""
    return " ".join([f"sh {FOLDER}/{name}.sh", *map(str, arguments)])


class Field:
    """A guest with the servers in it, and what was done to it."""

    def __init__(self, guest: vm.Guest, seed: int) -> None:
        self.guest = guest
        self._seed = seed
        self.begin(0)
        self.done: Counter[str] = Counter()
        self.longest_unload = 0.0
        # Unloads, connections and clients that did not end in their time, clients without an answer
        self.hangs = 0

    def begin(self, phase: int) -> None:
        """Makes what is random in a phase independent of how far the phases before it came."""
        self.random = random.Random(f"{self._seed} {phase}")

    def must(self, command: str) -> str:
        return self.guest.must(command, COMMAND_SECONDS)

    def load(self) -> None:
        """Loads what is not loaded, with settings at random."""
        self._load(self.random.choice(EXECUTORS), self.random.choice((4096, 65536)))

    def load_usual(self) -> None:
        """Loads kecho anew, so that all quiet phases find the same threads and buffers."""
        self.unload("kecho")
        self._load(EXECUTORS[0], 65536)

    def _load(self, executor: str, size: int) -> None:
        kecho = (
            "kecho",
            "addr=0.0.0.0 backlog=512 idle_timeout_ms=10000 close_timeout_ms=5000",
            f"executor={executor} buffer_size={size}",
        )
        for name, *words in (("ktcp_server",), kecho, ("khttpd", "root=/srv/www addr=0.0.0.0")):
            command = " ".join([f"insmod /modules/{name}.ko", *words])
            self.must(f"[ -d /sys/module/{name} ] || {command}")

    def unload(self, *modules: str) -> None:
        for module in modules:
            started = time.monotonic()
            try:
                self.guest.rmmod(module, UNLOAD_SECONDS)
            except ui.Fail:
                self.hangs += time.monotonic() - started >= UNLOAD_SECONDS
                raise
            self.longest_unload = max(self.longest_unload, time.monotonic() - started)

    def pause(self, most: float) -> None:
        time.sleep(self.random.uniform(0.2, most))


@contextmanager
def unload(field: Field) -> Iterator[None]:
    field.unload("kecho")
    yield
    field.load()


@contextmanager
def unload_all(field: Field) -> Iterator[None]:
    field.unload("kecho", "khttpd", "ktcp_server")
    yield
    field.load()


@contextmanager
def clock(field: Field) -> Iterator[None]:
    seconds = field.random.choice((-1, 1)) * field.random.randint(60, DAY)
    field.must(f"date -s @{time.time() + seconds:.0f}")
    yield
    field.must(f"date -s @{time.time():.0f}")


@contextmanager
def cpu(field: Field) -> Iterator[None]:
    field.must(f"echo 0 >{CPU}")
    yield
    field.must(f"echo 1 >{CPU}")


@contextmanager
def netem(field: Field) -> Iterator[None]:
    how = field.random.choice(LINES)
    field.must(f"{TC} qdisc replace dev near root netem {how}")
    field.must(f"{IP} netns exec far {TC} qdisc replace dev beyond root netem {how}")
    yield
    field.must(f"{TC} qdisc del dev near root")
    field.must(f"{IP} netns exec far {TC} qdisc del dev beyond root")


@contextmanager
def memory(field: Field) -> Iterator[None]:
    pressed = field.guest.start(sh("pressure", AVAILABLE_KB, 3), COMMAND_SECONDS)
    yield
    outcome = field.guest.finish(pressed)
    if outcome.status != 0:
        raise ui.Fail(f"memory cannot be filled: status {outcome.status}, {outcome.output}")


@contextmanager
def namespaces(field: Field) -> Iterator[None]:
    field.must(sh("namespaces", field.random.randint(1, 4)))
    yield


@contextmanager
def link(field: Field) -> Iterator[None]:
    field.must(f"{IP} link set near down")
    yield
    field.must(f"{IP} link set near up")


Disturbance = Callable[[Field], AbstractContextManager[None]]

ALL: dict[str, Disturbance] = {
    "unload kecho": unload,
    "unload everything": unload_all,
    "clock set": clock,
    "CPU off and on": cpu,
    "netem": netem,
    "memory pressure": memory,
    "namespaces": namespaces,
    "link down and up": link,
}

# Without the library no server can be loaded, and what is unloaded is unloaded once.
APART = frozenset({"unload kecho", "unload everything", "namespaces"})


def pairs(random_source: random.Random) -> list[tuple[str, ...]]:
    """All disturbances in random order, alone or two at a time."""
    names = list(ALL)
    random_source.shuffle(names)
    found: list[tuple[str, ...]] = []
    while names:
        name = names.pop()
        other = names[-1] if names else name
        if other != name and not {name, other} <= APART and random_source.random() < 0.5:
            names.pop()
            found.append((name, other))
        else:
            found.append((name,))
    return found
