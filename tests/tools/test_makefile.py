# SPDX-License-Identifier: GPL-2.0
"""The Makefile by itself: its table, and kernel build trees that cannot be used."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from ktcp import module


def _make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments], cwd=module.CHECKOUT, capture_output=True, text=True, check=False
    )


def test_help_shows_every_target() -> None:
    makefile = (module.CHECKOUT / "Makefile").read_text()
    phony = re.findall(r"^\.PHONY: modules((?:.*\\\n)*.*)", makefile, re.MULTILINE)[0]
    table = _make("help").stdout
    rows = {line.split()[0]: line for line in table.splitlines() if line.startswith("  ")}
    assert set(phony.replace("\\", " ").split()) | {"modules"} <= set(rows)
    assert {"KERNEL=", "FLAVOUR=", "KDIR=", "PORT=", "ACCEL=", "KTCP_CACHE="} <= set(rows)
    columns = {len(line) - len(line[2:].split(maxsplit=1)[1]) for line in rows.values()}
    assert len(columns) == 1, "the table is not aligned"


def _tree(folder: Path, rust: bool, metadata: bool, bits: int = 64) -> Path:
    (folder / "include/config").mkdir(parents=True)
    config = f"CONFIG_MODULES=y\nCONFIG_{bits}BIT=y\n" + ("CONFIG_RUST=y\n" if rust else "")
    (folder / "include/config/auto.conf").write_text(config)
    (folder / "include/config/kernel.release").write_text("7.3.0-mine\n")
    if metadata:
        (folder / "rust").mkdir()
        (folder / "rust/libkernel.rmeta").touch()
    return folder


@pytest.mark.parametrize("target", ["modules", "lint", "install", "rust-analyzer"])
def test_kdir_that_is_not_there(target: str) -> None:
    result = _make(target, "KDIR=/not/there")
    assert result.returncode != 0
    assert "error: KDIR=/not/there is not a folder\n  -> " in result.stderr
    assert "No such file" not in result.stderr


def test_kdir_that_is_not_prepared(tmp_path: Path) -> None:
    result = _make(f"KDIR={tmp_path}")
    assert result.returncode != 0
    assert "is not a prepared kernel build tree" in result.stderr


def test_kdir_without_rust(tmp_path: Path) -> None:
    result = _make(f"KDIR={_tree(tmp_path, rust=False, metadata=False)}")
    assert result.returncode != 0
    assert "built without Rust" in result.stderr


def test_kdir_of_32_bits(tmp_path: Path) -> None:
    result = _make(f"KDIR={_tree(tmp_path, rust=True, metadata=True, bits=32)}")
    assert result.returncode != 0
    assert "is not a 64-bit one, and ktcp_server is for those only\n  -> " in result.stderr


@pytest.mark.parametrize("bits", [32, 64])
def test_the_library_is_built_for_64_bits_only(bits: int) -> None:
    # For builds that have passed neither tools/check-kdir nor Kconfig.
    command = ["gcc", "-E", f"-DCONFIG_{bits}BIT", "lib/shim/shim.h"]
    result = subprocess.run(
        command, cwd=module.CHECKOUT, capture_output=True, text=True, check=False
    )
    error = '#error "ktcp_server is for 64-bit kernels only"'
    assert (error in result.stderr, result.returncode != 0) == (bits == 32, bits == 32)
    kconfig = (module.CHECKOUT / "Kconfig").read_text()
    assert re.search(r"^config KTCP_SERVER\n.*\n\tdepends on .*\b64BIT$", kconfig, re.MULTILINE)


def test_kdir_without_metadata(tmp_path: Path) -> None:
    result = _make(f"KDIR={_tree(tmp_path, rust=True, metadata=False)}")
    assert result.returncode != 0
    assert "no Rust metadata" in result.stderr
    assert "make KERNEL=running" in result.stderr


def test_nothing_is_made_for_a_bad_kdir(tmp_path: Path) -> None:
    _make(f"KDIR={_tree(tmp_path, rust=False, metadata=False)}")
    assert not (module.BUILD / "7.3.0-mine").exists()


def test_a_good_kdir_is_given_to_the_kernels_build_system(tmp_path: Path) -> None:
    tree = _tree(tmp_path, rust=True, metadata=True)
    result = _make("-n", f"KDIR={tree}")
    assert result.returncode == 0
    command = f"-C '{tree}' M='{module.CHECKOUT}' MO='{module.CHECKOUT}/build/7.3.0-mine'"
    assert command in result.stdout
