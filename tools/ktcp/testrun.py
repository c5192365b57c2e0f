# SPDX-License-Identifier: GPL-2.0
"""`make test`: runs the tests, ring by ring, and counts them.

`make test` runs rings beside each other, for each waits as often as it computes. What is built then
yields to the tests, whose time is limited.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from . import browser, cache, cli, debug, index, kunit, lanes, lint, model, ui, vm
from .lab import programs
from .module import CHECKOUT

# How pytest's exit status says that there was nothing to run.
NOTHING_COLLECTED = 5

# The share of the whole, in the line of `pytest --verbose` for a test: at its end, or before the
# outcome if there are workers
PROGRESS = re.compile(r"^\[gw\d+\] \[ *(\d+)%\]|\[ *(\d+)%\]$")

# Guests mostly wait, or have one client: so many at a time are no more than two CPUs can do.
WORKERS = 2

# How much of a failed test's traceback is shown; the whole of it is in the log.
SHOWN_LINES = 40


@dataclass(frozen=True)
class Counts:
    passed: int
    failed: int
    skipped: int = 0
    log: Path | None = None


@dataclass(frozen=True)
class Case:
    """A test that pytest ran, with what it says about a failure."""

    name: str
    outcome: str
    text: str


@dataclass(frozen=True)
class Ring:
    name: str
    what: str
    # Takes the name of the one case to run, if any; returns the counts.
    run: Callable[[str], Counts]
    # Runs it so often, if that is not just one run after the other
    repeat: Callable[[str, int], Iterator[Counts]] | None = None
    # Makes ready what else is built beside it, for which it waits
    after: Callable[[], object] | None = None

    def runs(self, case: str, times: int) -> Iterator[Counts]:
        if self.repeat and times > 1:
            return self.repeat(case, times)
        return (self.run(case) for _ in range(times))


@dataclass(frozen=True)
class Line:
    """A line of the closing table."""

    ring: Ring
    counts: Counts
    seconds: float


# pytest


def cases(report: Path) -> list[Case]:
    """The tests in a report of `pytest --junit-xml`."""
    found: dict[str, Case] = {}
    for element in xml.parse(report).iter("testcase"):
        name = f"{element.get('classname')}::{element.get('name')}"
        trouble = [child for child in element if child.tag in ("failure", "error")]
        skipped = element.find("skipped") is not None
        outcome = "failed" if trouble else "skipped" if skipped else "passed"
        case = Case(name, outcome, "\n".join(child.text or "" for child in trouble))
        # A test whose teardown fails stands there twice.
        if name not in found or case.outcome == "failed":
            found[name] = case
    return list(found.values())


def _count(found: Iterable[Case], log: Path) -> Counts:
    outcomes = [case.outcome for case in found]
    passed, failed, skipped = (outcomes.count(name) for name in ("passed", "failed", "skipped"))
    return Counts(passed, failed, skipped, log)


def _show_failures(found: Iterable[Case]) -> None:
    for case in found:
        if case.outcome == "failed":
            lines = case.text.splitlines()
            print(f"{ui.colour('31', 'FAILED')} {case.name}")
            if len(lines) > SHOWN_LINES:
                print(f"    … {len(lines) - SHOWN_LINES} lines are left out")
            print("\n".join(f"    {line}" for line in lines[-SHOWN_LINES:]), flush=True)


def _run_logged(command: Sequence[str], log: Path, title: str) -> tuple[int, str]:
    """Runs pytest; its exit status, and its last words."""
    line = ""
    with (
        log.open("w") as out,
        ui.Progress(title) as progress,
        subprocess.Popen(
            command,
            cwd=CHECKOUT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as child,
    ):
        assert child.stdout is not None
        for line in child.stdout:
            print(line, end="", file=out, flush=True)
            if share := PROGRESS.search(line.rstrip()):
                progress.detail(f"{share[1] or share[2]} %")
    return child.returncode, line.strip()


def pytest(name: str, folder: str, case: str, workers: int = 0) -> Counts:
    """Runs the tests of a folder, so many files at a time; raises `Fail` if that cannot even be tried.

    Without workers, they are run in one process, one after the other.
    """
    log, report = cache.log(f"test-{name}"), cache.log(f"test-{name}").with_suffix(".xml")
    log.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "--verbose", f"--junit-xml={report}"]
    command += [f"--numprocesses={workers}", "--dist=loadfile"] if workers else []
    select = ["-k", case] if case else []
    status, last = _run_logged([*command, *select, *folder.split()], log, f"{name}: {folder}")
    if status == NOTHING_COLLECTED:
        raise ui.Fail(
            f"no test of {folder} matches CASE={case}",
            f"`tools/buildroot python3 -m pytest --collect-only -q {folder}` lists them",
        )
    found = cases(report) if report.exists() else []
    counts = _count(found, log)
    if status != 0 and counts.failed == 0:
        # It may well write a report of nothing before it gives up.
        raise ui.Fail(f"pytest ended with status {status}: {last}", f"its output is in {log}")
    _show_failures(found)
    return counts


# The rings


def _lints(case: str) -> Counts:
    passed, failed = lint.run(lint.chosen(case or None))
    return Counts(passed, failed)


def _kunit_runs(case: str, times: int) -> Iterator[Counts]:
    for result in kunit.runs(case or None, times):
        yield Counts(result.passed, result.failed, result.skipped, result.log)


def _kunit(case: str) -> Counts:
    (counts,) = _kunit_runs(case, 1)
    return counts


def _bench(case: str) -> Counts:
    result = programs.test(case)
    return Counts(result.passed, result.failed, result.skipped, cache.log(programs.LOG))


def _model(case: str) -> Counts:
    result = model.test(case)
    return Counts(result.passed, result.failed, result.skipped, cache.log(model.LOG))


def _works(series: str, command: str, **settings: str) -> bool:
    """Whether a command of ours succeeds with the newest kernel of that series."""
    ui.say(f"{series}: {command}")
    result = subprocess.run(
        [sys.executable, "-m", "ktcp", command],
        cwd=CHECKOUT,
        env={**os.environ, "KERNEL": series, **settings},
        stdin=subprocess.DEVNULL,
    )
    return result.returncode == 0


def _kernels(_case: str) -> Counts:
    verdicts = []
    for series in index.KNOWN_SERIES:
        # Everything that is built, without a warning, and the conversation of `make run`
        verdicts.append(_works(series, "lint", LINT="clippy"))
        verdicts.append(_works(series, "run", PORT=str(vm.free_port())))
    return Counts(verdicts.count(True), verdicts.count(False))


def _long(case: str) -> Counts:
    os.environ["KTCP_LONG"] = "1"
    files = (
        "tests/e2e/test_storm.py",
        "tests/e2e/test_network.py",
        "tests/debug/test_faults.py",
        "tests/e2e/test_perverse.py",
        "tests/debug/test_perverse.py",
    )
    return pytest("long", " ".join(files), case)


def _browser(case: str) -> Counts:
    browser.install()
    return pytest("browser", "tests/e2e/test_browser.py", case)


LINT = Ring("lint", "formatting, lints, licence lines", _lints)
TOOLS = Ring("tools", "the tooling itself", lambda case: pytest("tools", "tests/tools", case))
BENCH = Ring("bench", "the load generator, and the servers to compare with", _bench)
MODEL = Ring("model", "the lock-free parts, in every order of their steps", _model)
NEW = Ring("new", "a module as `make new` writes it", lambda case: pytest("new", "tests/new", case))
KUNIT = Ring("kunit", "the library on user-mode Linux", _kunit, _kunit_runs)
# On a new machine it waits for the debug kernel: it has limits of time, and it computes when the tests
# on that kernel wait.
E2E = Ring(
    "e2e",
    "real clients on the real kernel",
    lambda case: pytest("e2e", "tests/e2e", case, WORKERS),
    after=debug.prepare,
)
DEBUG = Ring(
    "debug",
    "suites and clients on a kernel that sees mistakes",
    lambda case: pytest("debug", "tests/debug", case, WORKERS),
)
LONG = Ring("long", "storms, failing memory and many connections, for long", _long)
BROWSER = Ring("browser", "khttpd's pages in Chromium", _browser)
KERNELS = Ring("kernels", "the modules on each series of the kernel", _kernels)

RINGS = {
    ring.name: ring for ring in (LINT, TOOLS, BENCH, MODEL, KUNIT, NEW, E2E, DEBUG, LONG, KERNELS)
}

# What `make test` runs, so many at a time: first what takes longest. On a new machine the programs
# are built while the kernel is made ready, which they do not need.
LANES = 3
ALL = (DEBUG, E2E, BENCH, KUNIT, LINT, TOOLS, MODEL, NEW)


def _counts(ring: Ring, case: str = "", times: int = 1) -> Iterator[Counts]:
    try:
        yield from ring.runs(case, times)
    except ui.Fail as failure:
        # The other rings still have something to say.
        ui.report(failure)
        yield Counts(0, 1)


def summed(lines: Iterable[Line]) -> list[Line]:
    """A line for each ring, however often it ran."""
    found: dict[str, Line] = {}
    for line in lines:
        before = found.get(line.ring.name, Line(line.ring, Counts(0, 0), 0))
        one, other = before.counts, line.counts
        counts = Counts(
            one.passed + other.passed,
            one.failed + other.failed,
            one.skipped + other.skipped,
            other.log,
        )
        found[line.ring.name] = Line(line.ring, counts, before.seconds + line.seconds)
    return list(found.values())


def table(lines: Iterable[Line]) -> str:
    rows = [f"  {'ring':<7} {'passed':>6} {'failed':>6} {'skipped':>7} {'time':>12}  log"]
    for line in summed(lines):
        counts = line.counts
        row = f"  {line.ring.name:<7} {counts.passed:>6} {counts.failed:>6} {counts.skipped:>7}"
        rows.append(f"{row} {ui.duration(line.seconds):>12}  {counts.log or ''}".rstrip())
    return "\n".join(rows)


def _close(lines: Sequence[Line], case: str = "") -> int:
    """Shows the table and the closing line; the exit status."""
    passed = sum(line.counts.passed for line in lines)
    failed = sum(line.counts.failed for line in lines)
    print(f"\n{table(lines)}\n")
    if failed and not case:
        print("one test alone: make lint LINT=… | make test-unit CASE=… | make test-e2e CASE=…\n")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def run(ring: Ring, case: str = "", repeat: int = 1) -> int:
    """Runs the ring `repeat` times, or until it fails: its logs are then those of the failure."""
    ui.say(ui.colour("1", f"— {ring.name}: {ring.what}"))
    lines: list[Line] = []
    started = time.monotonic()
    for counts in _counts(ring, case, repeat):
        ended = time.monotonic()
        lines.append(Line(ring, counts, ended - started))
        if repeat > 1:
            ui.say(f"run {len(lines)} of {repeat}: {ui.duration(ended - started)}")
        if counts.failed:
            break
        started = ended
    if repeat > 1 and not lines[-1].counts.failed:
        print(f"\n{repeat} runs, none of which failed")
    return _close(lines, case)


# A ring beside others is a process of its own, which leaves its counts in a file.


def _leave_counts(name: str, file: Path) -> int:
    ring = RINGS[name]
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


def run_beside(rings: Sequence[Ring]) -> int:
    """Runs the rings, several at the same time."""
    with tempfile.TemporaryDirectory(prefix="ktcp-test.") as folder:

        def command(ring: Ring) -> lanes.Command:
            words = [sys.executable, "-m", "ktcp", "test-ring", ring.name, f"{folder}/{ring.name}"]
            return lanes.Command(ring.name, ring.what, words)

        ended = lanes.run([command(ring) for ring in rings], LANES)
        lines = [
            Line(RINGS[ring.name], _found_counts(Path(folder) / ring.name), ring.seconds)
            for ring in ended
        ]
    return _close(lines)


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
    command.set_defaults(call=lambda _arguments: run_beside(ALL))
    command = subparsers.add_parser("test-ring", help="run one ring, for `test`")
    command.add_argument("ring", choices=RINGS)
    command.add_argument("file", type=Path, help="where its counts are left")
    command.set_defaults(call=lambda arguments: _leave_counts(arguments.ring, arguments.file))
    for name, what, ring in (
        ("test-unit", "run the KUnit suites; CASE: a glob, SUITE.TEST", KUNIT),
        ("test-tools", "run the tests of the tools; CASE: pytest's -k", TOOLS),
        ("test-bench", "run the tests of bench/; CASE: a part of a name", BENCH),
        ("test-model", "explore the lock-free parts; CASE: a part of a name", MODEL),
        ("test-new", "run the tests of `make new`; CASE: pytest's -k", NEW),
        ("test-debug", "run the tests on the debug kernel; CASE: pytest's -k", DEBUG),
        ("test-e2e", "run the end-to-end tests; CASE: pytest's -k", E2E),
        ("test-long", "run what takes long; CASE: pytest's -k", LONG),
        ("test-browser", "look at khttpd's pages; CASE: pytest's -k", BROWSER),
        ("test-kernels", "build for each series, and talk to kecho there", KERNELS),
    ):
        _add_ring(subparsers, name, what, ring)
