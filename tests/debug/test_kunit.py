# SPDX-License-Identifier: GPL-2.0
"""The KUnit suites, loaded as modules."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from ktcp import vm
from tests.e2e.lab import Lab
from .conftest import OPTIONS
from .leaks import forget_leaks

CASE = re.compile(r"^ {4}(ok|not ok) \d+ (\w+)(.*)$")
SUITE = re.compile(r"^ {4}# Subtest: (\w+)$")

SECONDS = 1200


def cases(results: str) -> dict[str, str]:
    """The outcome of each case, by `SUITE.CASE`, in what KUnit shows in debugfs."""
    found: dict[str, str] = {}
    suite = ""
    for line in results.splitlines():
        if match := SUITE.match(line):
            suite = match[1]
        elif match := CASE.match(line):
            found[f"{suite}.{match[2]}"] = "skipped" if "# SKIP" in match[3] else match[1]
    return found


@pytest.fixture(scope="module")
def suites(lab: Lab) -> Iterator[vm.Guest]:
    """A guest for the suites alone: they make allocations fail, and the kernel reports that."""
    with vm.Guest(
        lab.kernel, lab.modules, accel=lab.accel, name="kunit", lacks_memory=True, **OPTIONS
    ) as guest:
        forget_leaks(guest)
        # Who waits for a test that takes long does nothing wrong; KUnit has a limit of its own.
        guest.must(f"echo {SECONDS} >/proc/sys/kernel/hung_task_timeout_secs")
        yield guest


@pytest.mark.limit(SECONDS + 60)
def test_suites(suites: vm.Guest) -> None:
    for module in ("ktcp_server", "ktcp_server_kunit"):
        suites.must(f"insmod /modules/{module}.ko", timeout=SECONDS)
    found = cases(suites.must("cat /sys/kernel/debug/kunit/*/results"))
    print(f"{len(found)} cases")
    for suite in ("ktcp_buffer", "ktcp_doctests", "ktcp_memory_event_loop"):
        assert any(name.startswith(f"{suite}.") for name in found), sorted(found)
    assert not {name for name, outcome in found.items() if outcome == "not ok"}
    suites.check()


def test_suites_unload(suites: vm.Guest) -> None:
    # Not looked at by kmemleak: some of them leak on purpose, to see what becomes of that.
    suites.must("rmmod ktcp_server_kunit && rmmod ktcp_server", timeout=60)
    suites.check()
