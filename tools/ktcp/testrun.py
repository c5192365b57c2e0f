# SPDX-License-Identifier: GPL-2.0
"""`make test`: runs the tests, ring by ring, and counts them.

`make test` runs rings beside each other, for each waits as often as it computes. A build beside them
yields to the tests, whose time is limited.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from . import cli, lanes, rings, ui
from .counts import Counts, Line, close
from .rings import Ring


def _counts(ring: Ring, case: str = "", times: int = 1) -> Iterator[Counts]:
    try:
        yield from ring.runs(case, times)
    except ui.Fail as failure:
        # The other rings still have something to say.
        ui.report(failure)
        yield Counts(0, 1)


def run(ring: Ring, case: str = "", repeat: int = 1) -> int:
    """Runs the ring `repeat` times, or until it fails: its logs are then those of the failure."""
    ui.say(ui.colour("1", f"— {ring.name}: {ring.what}"))
    lines: list[Line] = []
    started = time.monotonic()
    for counts in _counts(ring, case, repeat):
        ended = time.monotonic()
        lines.append(Line(ring.name, counts, ended - started))
        if repeat > 1:
            ui.say(f"run {len(lines)} of {repeat}: {ui.duration(ended - started)}")
        if counts.failed:
            break
        started = ended
    if repeat > 1 and not lines[-1].counts.failed:
        print(f"\n{repeat} runs, none of which failed")
    return close(lines, case)


# A ring beside others is a process of its own, which leaves its counts in a file.


def _leave_counts(name: str, file: Path) -> int:
    ring = rings.RINGS[name]
    if ring.after:
        # Why it cannot be made ready says the ring that needs it.
        with suppress(ui.Fail):
            ring.after()
    (counts,) = _counts(ring)
    log = str(counts.log) if counts.log else None
    file.write_text(json.dumps([counts.passed, counts.failed, counts.skipped, log]))
    return 0


def _found_counts(file: Path) -> Counts:
    try:
        passed, failed, skipped, log = json.loads(file.read_text())
    except (OSError, ValueError):
        # It has died before that.
        return Counts(0, 1)
    return Counts(passed, failed, skipped, Path(log) if log else None)


def run_beside(chosen: Sequence[Ring]) -> int:
    """Runs the rings, several at the same time."""
    with tempfile.TemporaryDirectory(prefix="ktcp-test.") as folder:

        def command(ring: Ring) -> lanes.Command:
            words = [sys.executable, "-m", "ktcp", "test-ring", ring.name, f"{folder}/{ring.name}"]
            return lanes.Command(ring.name, ring.what, words)

        ended = lanes.run([command(ring) for ring in chosen], rings.LANES)
        lines = [
            Line(ring.name, _found_counts(Path(folder) / ring.name), ring.seconds) for ring in ended
        ]
    return close(lines)


# The command line


def repeats() -> int:
    value = os.environ.get("REPEAT") or "1"
    if not value.isdecimal() or int(value) == 0:
        raise ui.Fail(f"REPEAT={value} is no number of runs", "give REPEAT=100, or leave it out")
    return int(value)


def _add_ring(subparsers: cli.Subparsers, name: str, what: str, ring: Ring) -> None:
    def call(_arguments: argparse.Namespace) -> int:
        return run(ring, os.environ.get("CASE", ""), repeats())

    subparsers.add_parser(name, help=what).set_defaults(call=call)


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser("test", help="run the tests")
    command.set_defaults(call=lambda _arguments: run_beside(rings.ALL))
    command = subparsers.add_parser("test-ring", help="run one ring, for `test`")
    command.add_argument("ring", choices=rings.RINGS)
    command.add_argument("file", type=Path, help="where its counts are left")
    command.set_defaults(call=lambda arguments: _leave_counts(arguments.ring, arguments.file))
    for name, what, ring in (
        ("test-unit", "run the KUnit suites; CASE: a glob, SUITE.TEST", rings.KUNIT),
        ("test-tools", "run the tests of the tools; CASE: pytest's -k", rings.TOOLS),
        ("test-bench", "run the tests of bench/; CASE: a part of a name", rings.BENCH),
        ("test-model", "explore the lock-free parts; CASE: a part of a name", rings.MODEL),
        ("test-new", "run the tests of `make new`; CASE: pytest's -k", rings.NEW),
        ("test-debug", "run the tests on the debug kernel; CASE: pytest's -k", rings.DEBUG),
        ("test-e2e", "run the end-to-end tests; CASE: pytest's -k", rings.E2E),
        ("test-long", "run what takes long; CASE: pytest's -k", rings.LONG),
        ("test-browser", "look at khttpd's pages; CASE: pytest's -k", rings.BROWSER),
        ("test-kernels", "build for each series, and talk to kecho there", rings.KERNELS),
    ):
        _add_ring(subparsers, name, what, ring)
