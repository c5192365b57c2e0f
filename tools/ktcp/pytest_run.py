# SPDX-License-Identifier: GPL-2.0
"""A run of pytest over a folder, counted by its report."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as xml
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import cache, ui
from .counts import Counts
from .module import CHECKOUT

# pytest's exit status if there was nothing to run
NOTHING_COLLECTED = 5

# The share of the whole, in the line of `pytest --verbose` for a test: at its end, or before the
# outcome if there are workers
PROGRESS = re.compile(r"^\[gw\d+\] \[ *(\d+)%\]|\[ *(\d+)%\]$")

# Lines of a failed test's traceback that are shown; the log has the whole of it.
SHOWN_LINES = 40


@dataclass(frozen=True)
class Case:
    """A test that pytest ran, with the text of a failure."""

    name: str
    outcome: str
    text: str


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


def run(name: str, folder: str, case: str, workers: int = 0) -> Counts:
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
