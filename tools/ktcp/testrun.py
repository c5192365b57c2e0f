# SPDX-License-Identifier: GPL-2.0
"""`make test`: runs the tests, ring by ring, and counts them.

The rings run one after the other. Each keeps both CPUs of a small machine busy, so running them at
once would save little, and would make the time limits of the end-to-end tests a matter of luck.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as xml
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import browser, cache, cli, index, kunit, lint, ui, vm
from .lab import programs
from .module import CHECKOUT

# How pytest's exit status says that there was nothing to run.
NOTHING_COLLECTED = 5

# The line of `pytest --verbose` for a test, and its share of the whole.
PROGRESS = re.compile(r"\[ *(\d+)%\]$")

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
                progress.detail(f"{share[1]} %")
    return child.returncode, line.strip()


def pytest(name: str, folder: str, case: str) -> Counts:
    """Runs the tests of a folder; raises `Fail` if that cannot even be tried."""
    log, report = cache.log(f"test-{name}"), cache.log(f"test-{name}").with_suffix(".xml")
    log.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "--verbose", f"--junit-xml={report}"]
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


def _kunit(case: str) -> Counts:
    result = kunit.run(case or None)
    return Counts(result.passed, result.failed, result.skipped, cache.log("kunit"))


def _bench(case: str) -> Counts:
    result = programs.test(case)
    return Counts(result.passed, result.failed, result.skipped, cache.log(programs.LOG))


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


LINT = Ring("lint", "formatting, lints, licence lines", _lints)
TOOLS = Ring("tools", "the tooling itself", lambda case: pytest("tools", "tests/tools", case))
BENCH = Ring("bench", "the load generator, and the servers to compare with", _bench)
KUNIT = Ring("kunit", "the library on user-mode Linux", _kunit)
E2E = Ring("e2e", "real clients on the real kernel", lambda case: pytest("e2e", "tests/e2e", case))
DEBUG = Ring(
    "debug",
    "suites and clients on a kernel that sees mistakes",
    lambda case: pytest("debug", "tests/debug", case),
)
# What `make test` leaves to those who have the time: together they take longer than all the rest.
E2E_IN_SHORT = Ring(
    "e2e", E2E.what, lambda _: pytest("e2e", "tests/e2e", "not test_storm and not test_network")
)
KERNELS = Ring("kernels", "the modules on each series of the kernel", _kernels)


def _long(case: str) -> Counts:
    os.environ["KTCP_LONG"] = "1"
    return pytest("long", "tests/e2e/test_storm.py tests/debug/test_faults.py", case)


def _browser(case: str) -> Counts:
    browser.install()
    return pytest("browser", "tests/e2e/test_browser.py", case)


BROWSER = Ring("browser", "khttpd's pages in Chromium", _browser)
LONG = Ring("long", "storms, failing memory and many connections, for long", _long)


def _attempt(ring: Ring, case: str) -> Line:
    ui.say(ui.colour("1", f"— {ring.name}: {ring.what}"))
    started = time.monotonic()
    try:
        counts = ring.run(case)
    except ui.Fail as failure:
        # The other rings still have something to say.
        ui.report(failure)
        counts = Counts(0, 1)
    return Line(ring, counts, time.monotonic() - started)


def table(lines: Iterable[Line]) -> str:
    rows = [f"  {'ring':<7} {'passed':>6} {'failed':>6} {'skipped':>7} {'time':>12}  log"]
    for line in lines:
        counts = line.counts
        row = f"  {line.ring.name:<7} {counts.passed:>6} {counts.failed:>6} {counts.skipped:>7}"
        rows.append(f"{row} {ui.duration(line.seconds):>12}  {counts.log or ''}".rstrip())
    return "\n".join(rows)


def run(rings: Sequence[Ring], case: str = "") -> int:
    """Runs the rings, shows the table and the closing line; the exit status."""
    lines = [_attempt(ring, case) for ring in rings]
    passed = sum(line.counts.passed for line in lines)
    failed = sum(line.counts.failed for line in lines)
    print(f"\n{table(lines)}\n")
    if failed and not case:
        print("one test alone: make lint LINT=… | make test-unit CASE=… | make test-e2e CASE=…\n")
    print(f"{passed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


# The command line


def register(subparsers: cli.Subparsers) -> None:
    case = os.environ.get("CASE", "")
    for name, what, rings, selected in (
        (
            "test",
            "run the tests, without the debug kernel, storms and bad networks",
            (LINT, TOOLS, BENCH, KUNIT, E2E_IN_SHORT),
            "",
        ),
        ("test-unit", "run the KUnit suites; CASE: a glob, SUITE.TEST", (KUNIT,), case),
        ("test-tools", "run the tests of the tools; CASE: pytest's -k", (TOOLS,), case),
        ("test-bench", "run the tests of bench/; CASE: a part of a name", (BENCH,), case),
        ("test-debug", "run the tests on the debug kernel; CASE: pytest's -k", (DEBUG,), case),
        ("test-e2e", "run the end-to-end tests; CASE: pytest's -k", (E2E,), case),
        ("test-long", "run what takes long; CASE: pytest's -k", (LONG,), case),
        ("test-browser", "look at khttpd's pages; CASE: pytest's -k", (BROWSER,), case),
        ("test-kernels", "build for each series, and talk to kecho there", (KERNELS,), ""),
    ):
        command = subparsers.add_parser(name, help=what)

        def call(
            _arguments: argparse.Namespace,
            rings: Sequence[Ring] = rings,
            selected: str = selected,
        ) -> int:
            return run(rings, selected)

        command.set_defaults(call=call)
