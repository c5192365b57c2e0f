# SPDX-License-Identifier: GPL-2.0
"""The rings of tests, and those of them that `make test` runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from . import browser, cache, debug, index, kunit, lint, model, pytest_run, ui, wires
from .counts import Counts
from .lab import programs
from .module import CHECKOUT

# Guests mostly wait, or have one client: so many at a time are no more than two CPUs can do.
WORKERS = 2


@dataclass(frozen=True)
class Ring:
    name: str
    what: str
    # Takes the name of the one case to run, if any; returns the counts.
    run: Callable[[str], Counts]
    # Runs it so often, if that is not just one run after the other
    repeat: Callable[[str, int], Iterator[Counts]] | None = None
    # Prepares something else that is built beside it, and for which it waits
    after: Callable[[], object] | None = None

    def runs(self, case: str, times: int) -> Iterator[Counts]:
        if self.repeat and times > 1:
            return self.repeat(case, times)
        return (self.run(case) for _ in range(times))


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
    """Returns true if a command of ours succeeds with the newest kernel of that series."""
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
        verdicts.append(_works(series, "run", PORT=str(wires.free_port())))
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
    return pytest_run.run("long", " ".join(files), case)


def _browser(case: str) -> Counts:
    browser.install()
    return pytest_run.run("browser", "tests/e2e/test_browser.py", case)


LINT = Ring("lint", "formatting, lints, licence lines", _lints)
TOOLS = Ring(
    "tools", "the tooling itself", lambda case: pytest_run.run("tools", "tests/tools", case)
)
BENCH = Ring("bench", "the load generator, and the servers to compare with", _bench)
MODEL = Ring("model", "the lock-free parts, in every order of their steps", _model)
NEW = Ring(
    "new", "a module as `make new` writes it", lambda case: pytest_run.run("new", "tests/new", case)
)
KUNIT = Ring("kunit", "the library on user-mode Linux", _kunit, _kunit_runs)
# On a new machine it waits for the debug kernel: it has limits of time, and it computes when the tests
# on that kernel wait.
E2E = Ring(
    "e2e",
    "real clients on the real kernel",
    lambda case: pytest_run.run("e2e", "tests/e2e", case, WORKERS),
    after=debug.prepare,
)
DEBUG = Ring(
    "debug",
    "suites and clients on a kernel that sees mistakes",
    lambda case: pytest_run.run("debug", "tests/debug", case, WORKERS),
)
LONG = Ring("long", "storms, failing memory and many connections, for long", _long)
BROWSER = Ring("browser", "khttpd's pages in Chromium", _browser)
KERNELS = Ring("kernels", "the modules on each series of the kernel", _kernels)

RINGS = {
    ring.name: ring for ring in (LINT, TOOLS, BENCH, MODEL, KUNIT, NEW, E2E, DEBUG, LONG, KERNELS)
}

# The rings of `make test`, so many at a time, the longest first. On a new machine the programs
# are built while the kernel is made ready, which they do not need.
LANES = 3
ALL = (DEBUG, E2E, BENCH, KUNIT, LINT, TOOLS, MODEL, NEW)
