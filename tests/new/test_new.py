# SPDX-License-Identifier: GPL-2.0
"""A module of its own, as `make new` writes it: it builds, runs and passes as it is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ktcp import author, kunit, module, vm
from tests.e2e.lab import Lab, loaded

NAME = "my_service"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module, just written."""
    folder = tmp_path_factory.mktemp("author") / NAME
    command = ["make", "new", f"NAME={NAME}", f"DIR={folder}"]
    subprocess.run(command, cwd=module.CHECKOUT, check=True, capture_output=True)
    return folder


def say(guest: vm.Guest, text: str) -> str:
    return guest.must(f"echo {text} | nc -w 5 127.0.0.1 12347")


def test_it_serves_beside_the_library(lab: Lab, folder: Path) -> None:
    built = author.build(lab.kernel, folder)
    modules = [*lab.modules, built]
    with vm.Guest(lab.kernel, modules, accel=lab.accel, name="new") as guest:
        outcome = guest.insmod(NAME)
        assert outcome.status != 0, "it loaded without the library"
        guest.must("insmod /modules/ktcp_server.ko")
        guest.must(f"insmod /modules/{NAME}.ko")
        assert f"{NAME}: listening on 127.0.0.1:12347" in guest.dmesg()
        assert say(guest, "hello, kernel") == "HELLO, KERNEL\n"
        assert guest.run("rmmod ktcp_server").status != 0, "the library left it behind"
        guest.must(f"rmmod {NAME}")
        guest.must("rmmod ktcp_server")
        assert not loaded(guest) & {NAME, "ktcp_server"}


def test_it_builds_with_what_make_install_put_in_place(lab: Lab, folder: Path) -> None:
    installed = author.install(lab.kernel, folder.parent / "root")
    assert {path.name for path in installed.iterdir()} == {
        "Module.symvers",
        "libktcp_server.rmeta",
    }
    subprocess.run(["make", "clean"], cwd=folder, check=True)
    command = ["make", f"KDIR={lab.kernel.build}", f"KTCP_SERVER={installed}"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "undefined!" not in result.stderr
    information = subprocess.run(
        ["modinfo", "-F", "depends", str(folder / f"build/{NAME}.ko")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert information.stdout == "ktcp_server\n"


@pytest.mark.limit(900)
def test_its_unit_tests_pass(lab: Lab, folder: Path) -> None:
    result = kunit.run(NAME, folder)
    assert (result.passed, result.failed) == (2, 0)
