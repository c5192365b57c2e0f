# SPDX-License-Identifier: GPL-2.0
"""Runs commands beside each other: in a few lanes, each of which takes the next when it is free.

A command's progress (standard error) is shown at once, with its name before it; its results
(standard output) are shown in one piece when it has ended.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from . import ui

# Set for a command that runs beside others: its builds yield to their measurements.
BESIDE = "KTCP_BESIDE"

# The niceness of a build beside tests, whose time is limited
NICE = 15
# The niceness of a build whose tests mostly wait: it goes before other builds, beside which they run.
NICE_FIRST = 10


@dataclass(frozen=True)
class Command:
    name: str
    # A description, for the line above its results
    what: str
    words: Sequence[str]


@dataclass(frozen=True)
class Ended:
    name: str
    status: int
    seconds: float


def yielding(command: Sequence[str], niceness: int = NICE) -> list[str]:
    """The command of a long build, which leaves the processors to the tests beside it, if any."""
    return ["nice", "-n", str(niceness), *command] if os.environ.get(BESIDE) else list(command)


class _Lanes:
    """The state that all lanes share: standard output and error, and the running commands."""

    def __init__(self, width: int) -> None:
        self._lock = threading.Lock()
        self._width = width
        self._children: set[subprocess.Popen[str]] = set()
        self._is_over = False

    def _say(self, name: str, line: str) -> None:
        with self._lock:
            ui.say(f"{ui.colour('2', f'{name:<{self._width}} |')} {line}")

    def _show(self, command: Command, results: str) -> None:
        with self._lock:
            ui.say(ui.colour("1", f"— {command.name}: {command.what}"))
            sys.stdout.write(results)
            sys.stdout.flush()

    def _start(self, command: Command) -> subprocess.Popen[str] | None:
        with self._lock:
            if self._is_over:
                return None
            child = subprocess.Popen(
                command.words,
                env={**os.environ, BESIDE: "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
            self._children.add(child)
            return child

    def end(self) -> None:
        """Starts no command any more, and ends those that run."""
        with self._lock:
            self._is_over = True
            for child in self._children:
                child.terminate()

    def run(self, command: Command) -> Ended | None:
        started = time.monotonic()
        if (child := self._start(command)) is None:
            return None
        assert child.stdout is not None and child.stderr is not None
        with child, ThreadPoolExecutor(1) as reader:
            results = reader.submit(child.stdout.read)
            for line in child.stderr:
                self._say(command.name, line.rstrip())
            child.wait()
        with self._lock:
            self._children.remove(child)
        self._show(command, results.result())
        return Ended(command.name, child.returncode, time.monotonic() - started)


def run(commands: Sequence[Command], lanes: int) -> list[Ended]:
    """Runs all commands, begun in this order; none is left out if another fails."""
    shared = _Lanes(max(len(command.name) for command in commands))
    with ThreadPoolExecutor(lanes) as pool:
        try:
            running = [pool.submit(shared.run, command) for command in commands]
            return [ended for run in running if (ended := run.result())]
        finally:
            shared.end()
