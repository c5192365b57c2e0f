# SPDX-License-Identifier: GPL-2.0
"""The KUnit suites, loaded as modules."""

from __future__ import annotations

import re

import pytest

from ktcp import vm

CASE = re.compile(r"^ {4}(ok|not ok) \d+ (\w+)(.*)$")
SUITE = re.compile(r"^ {4}# Subtest: (\w+)$")

SUITES = "/sys/kernel/debug/kunit/ktcp_*"

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


@pytest.mark.limit(2 * SECONDS)
def test_suites(starving: vm.Guest) -> None:
    """All cases pass, and the modules unload after them.

    kmemleak does not look: some of them leak on purpose, to see what becomes of that.
    """
    # Who waits for a test that takes long does nothing wrong; KUnit has a limit of its own.
    limit = "/proc/sys/kernel/hung_task_timeout_secs"
    usual = starving.must(f"cat {limit}; echo {SECONDS} >{limit}")
    for module in ("ktcp_server", "ktcp_server_kunit"):
        starving.must(f"insmod /modules/{module}.ko")
    starving.must(f"for suite in {SUITES}; do echo >$suite/run || exit; done", timeout=SECONDS)
    starving.must(f"echo {usual.strip()} >{limit}")
    found = cases(starving.must(f"cat {SUITES}/results"))
    print(f"{len(found)} cases")
    for suite in ("ktcp_buffer", "ktcp_doctests", "ktcp_memory_event_loop"):
        assert any(name.startswith(f"{suite}.") for name in found), sorted(found)
    assert not {name for name, outcome in found.items() if outcome == "not ok"}
    for module in ("ktcp_server_kunit", "ktcp_server"):
        starving.rmmod(module, timeout=60)
    starving.check()
