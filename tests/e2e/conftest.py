# SPDX-License-Identifier: GPL-2.0
"""The guest of the end-to-end tests: booted once, with the modules loaded anew for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ktcp import accel, kernel, module, run, vm
from ktcp.conversation import Address
from .lab import Lab, build_module


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    chosen = kernel.prepare()
    modules = module.build(chosen, quiet=True)
    lab = Lab(chosen, modules.glob("*.ko"), accel.choose(chosen))
    yield lab
    lab.close()


@pytest.fixture(scope="session")
def proving(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module on which everything can be set."""
    return build_module(lab.kernel, "proving", tmp_path_factory.mktemp("modules"))


@pytest.fixture
def guest(lab: Lab) -> Iterator[vm.Guest]:
    """A guest in which neither module is loaded."""
    yield lab.lend()
    lab.take_back()


@pytest.fixture
def kecho(lab: Lab, guest: vm.Guest) -> Address:
    """The address of this machine at which the guest's kecho answers."""
    run.load(guest)
    run.wait_for_echo(guest, lab.address)
    return lab.address
