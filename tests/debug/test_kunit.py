# SPDX-License-Identifier: GPL-2.0
"""The KUnit suites, loaded as modules; and whether this kernel sees mistakes at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ktcp import accel, distribution, kernel, splat, ui, vm
from ktcp.module import CHECKOUT
from tests.e2e.lab import Lab, build_module
from .conftest import options

# Where Rust says that there is a suite: of its own, or one for each executor
SUITE = re.compile(r"kunit_tests\((ktcp_\w+)\)")
SUITES = re.compile(r"^suites! \{([^;]*);", re.MULTILINE)
NAME = re.compile(r"\bktcp_\w+")
# Modules cannot make namespaces, and where locks are watched a connection is larger.
ELSEWHERE = re.compile(r"ktcp_(netns_\w+|connection)")

# A thousand tasks take a minute here; user-mode Linux and the distribution's kernel run them.
SELDOM = ("ktcp_many_items",)

CASE = re.compile(r"^ {4}(ok|not ok) \d+ (\w+)", re.MULTILINE)

FOLDER = "/sys/kernel/debug/kunit"

SECONDS = 300

pytestmark = pytest.mark.limit(2 * SECONDS)


def suites() -> list[str]:
    """The names of the suites that are for modules on this kernel, as the sources have them."""
    # What is in the documentation has one of its own.
    found = {"ktcp_doctests"}
    for path in [*(CHECKOUT / "lib").rglob("*.rs"), *(CHECKOUT / "kunit").rglob("*.rs")]:
        source = path.read_text()
        found.update(SUITE.findall(source))
        for names in SUITES.findall(source):
            found.update(NAME.findall(names))
    return sorted(name for name in found if not ELSEWHERE.fullmatch(name))


def outcomes(results: str) -> dict[str, str]:
    """The outcome of each case, by its name, in what KUnit shows in debugfs."""
    return {name: outcome for outcome, name in CASE.findall(results)}


@pytest.fixture(scope="module")
def machine(
    debug_kernel: kernel.Kernel, modules: list[Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[vm.Guest]:
    """A guest of its own, with the suites: some of them leak on purpose."""
    mistaken = build_module(debug_kernel, "mistaken", tmp_path_factory.mktemp("modules"))
    chosen = accel.choose(distribution.prepare())
    # Those leaks are not looked for.
    no_leaks = options("kmemleak=off")
    own = Lab(debug_kernel, [*modules, mistaken], chosen, "suites", **no_leaks)
    guest = own.lend()
    guest.expect_shortages()
    # Who waits for a test that takes long does nothing wrong; KUnit has a limit of its own.
    guest.must(f"echo {SECONDS} >/proc/sys/kernel/hung_task_timeout_secs")
    for module in ("ktcp_server", "ktcp_server_kunit"):
        guest.must(f"insmod /modules/{module}.ko")
    yield guest
    # It has something to complain of.
    own.discard()


def test_the_machine_has_two_processors_and_an_exact_clock(machine: vm.Guest) -> None:
    clock = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    assert machine.must(f"nproc && cat {clock}").split() == ["2", "tsc"]


def test_suites_of_the_sources_are_there(machine: vm.Guest) -> None:
    assert machine.must(f"cd {FOLDER} && echo ktcp_*").split() == suites()


@pytest.mark.parametrize("suite", [suite for suite in suites() if suite not in SELDOM])
def test_suite_passes(machine: vm.Guest, suite: str) -> None:
    command = f"cd {FOLDER}/{suite} && echo >run && cat results"
    results = machine.must(command, timeout=SECONDS)
    assert set(outcomes(results).values()) == {"ok"}, results
    machine.check()


def test_the_suites_are_unloaded(machine: vm.Guest) -> None:
    for module in ("ktcp_server_kunit", "ktcp_server"):
        machine.rmmod(module, timeout=60)
    machine.check()


# What `mistaken` can do wrong, and what is said then. Lockdep looks no further after its own complaint,
# nor after one of KASAN, and the last is the end of the guest.
MISTAKES = {
    "sleep": "sleeping function called from invalid context",
    "timer": "ODEBUG: free active",
    "deadlock": "possible circular locking dependency",
    "freed": "KASAN: slab-use-after-free",
    "overflow": "attempt to add with overflow",
}


def test_mistakes_are_seen(machine: vm.Guest) -> None:
    machine.must("insmod /modules/ktcp_server.ko")
    for mistake, complaint in MISTAKES.items():
        seen = len(machine.console())
        with suppress(ui.Fail):
            machine.must(f"insmod /modules/mistaken.ko mistake={mistake} && rmmod mistaken")
        assert complaint in splat.find(machine.console()[seen:])
