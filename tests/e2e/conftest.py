# SPDX-License-Identifier: GPL-2.0
"""The guest of the end-to-end tests: booted once, with the modules loaded anew for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ktcp import accel, distribution, module, run, vm, wires
from ktcp.conversation import Address
from . import web
from .lab import Lab, build_module
from .web import Web


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    chosen = distribution.prepare()
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


@pytest.fixture(scope="module")
def server(lab: Lab) -> Iterator[Web]:
    """A guest of its own, with the library and a tree that khttpd can give out."""
    address = (wires.LOCALHOST, wires.free_port())
    with web.new_guest(lab, address[1]) as guest:
        guest.must(web.SETUP)
        guest.must("insmod /modules/ktcp_server.ko")
        yield Web(guest, address)
        guest.must("rmmod ktcp_server")


@pytest.fixture
def site(server: Web) -> Iterator[Web]:
    """khttpd with the settings that most tests want."""
    with server.served(stats=1):
        yield server
