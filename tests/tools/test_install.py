# SPDX-License-Identifier: GPL-2.0
"""`make install`: where the modules go, and whether modprobe finds them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ktcp import module
from .machine import USERS_PATH, apart, without

SCRIPT = str(module.CHECKOUT / "tools/install-modules")
RELEASE = "7.3.0-mine"


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder in which something was built."""
    folder = tmp_path / "build" / RELEASE
    (folder / "lib").mkdir(parents=True)
    (tmp_path / "build/.release").write_text(f"{RELEASE}\n")
    for name in ("Module.symvers", "lib/libktcp_server.rmeta"):
        (folder / name).touch()
    command = ["gcc", "-x", "c", "-c", "-o", str(folder / "ktcp_server.ko"), "-"]
    subprocess.run(command, input=b"int x;", check=True)
    return tmp_path


def _install(
    built: Path,
    *arguments: str,
    destination: str = "",
    installed: bool = True,
    prefix: tuple[str, ...] = (),
) -> subprocess.CompletedProcess[str]:
    machine = apart("installed", RELEASE if installed else "")
    environment = {"PATH": USERS_PATH, "DESTDIR": destination}
    return subprocess.run(
        [*prefix, *machine, SCRIPT, *arguments],
        cwd=built,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("arguments", [(), ("--development-files",)])
def test_depmod_runs_without_its_folder_in_path(built: Path, arguments: tuple[str, ...]) -> None:
    result = _install(built, *arguments)
    assert (result.returncode, result.stderr) == (0, "")
    # The list is there, if there is something to list.
    assert (f"./{RELEASE}/updates/ktcp_server.ko" in result.stdout) == (not arguments)
    assert ("\nupdates/ktcp_server.ko:" in result.stdout) == (not arguments)


def test_nothing_is_installed_without_depmod(built: Path) -> None:
    result = _install(built, prefix=without("depmod"))
    assert result.returncode == 1
    error, hint = result.stderr.splitlines()
    assert error.startswith("error: the tool `depmod` is missing on this machine")
    assert "apt-get install kmod" in hint
    assert result.stdout == ""


def test_a_kernel_that_is_not_installed_is_refused(built: Path) -> None:
    result = _install(built, installed=False)
    assert result.returncode == 1
    assert f"the kernel {RELEASE}, for which the modules are built, is not" in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize("prefix", [(), ("depmod",)], ids=["with depmod", "without"])
def test_in_another_folder_depmod_is_left_to_its_machine(
    built: Path, tmp_path: Path, prefix: tuple[str, ...]
) -> None:
    destination = tmp_path / "there"
    prefix = without(*prefix) if prefix else ()
    result = _install(built, destination=str(destination), prefix=prefix)
    assert result.returncode == 0
    assert f"after `depmod {RELEASE}` on the machine" in result.stderr
    assert (destination / f"lib/modules/{RELEASE}/updates/ktcp_server.ko").exists()
    assert not (destination / f"lib/modules/{RELEASE}/modules.dep").exists()
