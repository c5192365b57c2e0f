# SPDX-License-Identifier: GPL-2.0
"""The guest of the debug kernel; what a test does with it, it does as on the real kernel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ktcp import accel, debug, distribution, kernel, module, run, vm
from ktcp.conversation import Address
from tests.e2e.lab import Lab, build_module, crowd_program


def options(*cmdline: str) -> dict[str, Any]:
    """The options of a guest with this kernel, which gets so much more of a command line."""
    return {
        # Slow: it looks at every access to memory and at every lock.
        "boot_seconds": 240.0,
        # The library has suites of its own. They are run when they are asked for, not at each load.
        # As to its clock, there is none that it could be compared with.
        "cmdline": ("kunit.enable=1", "kunit.autorun=0", "tsc=reliable", *cmdline),
        # Without ACPI it is told of one processor in each socket.
        "options": ("-smp", "sockets=2"),
    }


@pytest.fixture(scope="session")
def debug_kernel() -> kernel.Kernel:
    return debug.prepare()


@pytest.fixture(scope="session")
def modules(debug_kernel: kernel.Kernel, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """All modules, those for tests as well."""
    proving = build_module(debug_kernel, "proving", tmp_path_factory.mktemp("modules"))
    return [*module.build(debug_kernel, quiet=True).glob("*.ko"), proving]


# Without the sheaves of the slab allocator, which has them for no cache that it checks: a sheaf keeps the
# addresses of what it has given out, so that kmemleak would take the last sixty leaks for used.
NO_SHEAVES = "slab_debug=F"


@pytest.fixture(scope="session")
def lab(debug_kernel: kernel.Kernel, modules: list[Path]) -> Iterator[Lab]:
    chosen = accel.choose(distribution.prepare())
    files = crowd_program()
    lab = Lab(debug_kernel, modules, chosen, "debug", files=files, **options(NO_SHEAVES))
    yield lab
    lab.close()


@pytest.fixture
def guest(lab: Lab) -> Iterator[vm.Guest]:
    """A guest in which no module is loaded."""
    yield lab.lend()
    lab.take_back()


@pytest.fixture
def starving(guest: vm.Guest) -> vm.Guest:
    """The same guest, in which allocations will be made to fail."""
    guest.expect_shortages()
    return guest


@pytest.fixture
def kecho(lab: Lab, guest: vm.Guest) -> Address:
    """The address of this machine at which the guest's kecho answers."""
    run.load(guest)
    run.wait_for_echo(guest, lab.address)
    return lab.address
