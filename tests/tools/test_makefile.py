# SPDX-License-Identifier: GPL-2.0
"""The Makefile by itself: its table, and kernel build trees that cannot be used."""

from __future__ import annotations

import os
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


def _tree(folder: Path, rust: bool, metadata: bool, bits: int = 64, config: str = "") -> Path:
    (folder / "include/config").mkdir(parents=True)
    known = f"CONFIG_MODULES=y\nCONFIG_{bits}BIT=y\n" + ("CONFIG_RUST=y\n" if rust else "")
    (folder / "include/config/auto.conf").write_text(known + config)
    (folder / "include/config/kernel.release").write_text("7.3.0-mine\n")
    if metadata:
        (folder / "rust").mkdir()
        (folder / "rust/libkernel.rmeta").touch()
    return folder


@pytest.mark.parametrize("target", ["modules", "lint", "install", "rust-analyzer"])
def test_kdir_that_is_not_there_is_refused(target: str) -> None:
    result = _make(target, "KDIR=/not/there")
    assert result.returncode != 0
    assert "error: KDIR=/not/there is not a folder\n  -> " in result.stderr
    assert "No such file" not in result.stderr


def test_kdir_that_is_not_prepared_is_refused(tmp_path: Path) -> None:
    result = _make(f"KDIR={tmp_path}")
    assert result.returncode != 0
    assert "is not a prepared kernel build tree" in result.stderr


def test_kdir_without_rust_is_refused(tmp_path: Path) -> None:
    result = _make(f"KDIR={_tree(tmp_path, rust=False, metadata=False)}")
    assert result.returncode != 0
    assert "built without Rust" in result.stderr


def test_kdir_of_32_bits_is_refused(tmp_path: Path) -> None:
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


def test_kdir_without_metadata_is_refused(tmp_path: Path) -> None:
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


# --- The compilers of a kernel ---

RUSTC = "rustc 1.85.1 (4eb161250 2025-03-15) (built from a source tarball)"
NIGHTLY = "rustc 1.98.0-nightly (0123456 2026-11-30)"
GCC = "x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0"
CLANG = "Debian clang version 19.1.7 (3+b1)"
KINDS = {GCC: "CONFIG_CC_IS_GCC=y", CLANG: "CONFIG_CC_IS_CLANG=y"}
# What comes first where the kernel's own build system is reached
REACHED = "No rule to make target"


@pytest.fixture
def compilers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with compilers that only say which version they are, in front of all others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    versions = {
        "rustc": RUSTC,
        "rustc-nightly": NIGHTLY,
        "gcc": GCC,
        "clang": CLANG,
        "clang-19": CLANG,
        "some-gcc": GCC,
    }
    for name, version in versions.items():
        (folder / name).write_text(f"#!/bin/sh\necho '{version}'\necho more\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    for name in ("RUSTC", "CC", "LLVM", "CROSS_COMPILE"):
        monkeypatch.delenv(name, raising=False)
    return folder


def _built_with(folder: Path, rustc: str = RUSTC, cc: str = GCC, quote: str = "") -> str:
    """The argument that names the build tree of a kernel with such compilers."""
    texts = {"RUSTC": rustc, "CC": cc}
    lines = [f"CONFIG_{name}_VERSION_TEXT={quote}{text}{quote}" for name, text in texts.items()]
    config = "\n".join([*lines, KINDS[cc], ""])
    return f"KDIR={_tree(folder / 'tree', rust=True, metadata=True, config=config)}"


def _is_taken(*arguments: str) -> bool:
    """Whether the kernel is taken; nothing is built."""
    result = _make("kdir", *arguments)
    return (result.returncode, result.stdout + result.stderr) == (0, "")


def _refusal(*arguments: str) -> str:
    """What is said by a `make` that does not reach the kernel's build system."""
    result = _make(*arguments)
    assert result.returncode != 0
    message, hint, last = result.stderr.splitlines()
    assert message.startswith("error: ") and hint.startswith("  -> ") and last.startswith("make")
    return message


@pytest.mark.parametrize("quote", ["", '"'])
def test_kernel_of_the_same_compilers_is_taken(tmp_path: Path, compilers: Path, quote: str) -> None:
    assert _is_taken(_built_with(tmp_path, quote=quote))


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("target", ["modules", "lint", "install", "rust-analyzer"])
def test_kernel_of_another_rustc_is_refused_with_both_versions(
    tmp_path: Path, compilers: Path, target: str, quote: str
) -> None:
    message = _refusal(target, _built_with(tmp_path, NIGHTLY, quote=quote))
    assert f"was compiled with {NIGHTLY}, and `rustc` is {RUSTC}" in message


def test_kernel_of_the_same_version_by_another_builder_is_refused(
    tmp_path: Path, compilers: Path
) -> None:
    theirs = RUSTC.partition(" (built")[0]
    assert f"compiled with {theirs}, and" in _refusal(_built_with(tmp_path, theirs))


def test_rustc_is_the_one_of_the_command_line(
    tmp_path: Path, compilers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree = _built_with(tmp_path, NIGHTLY)
    assert _is_taken(tree, "RUSTC=rustc-nightly")
    assert _is_taken(tree, f"RUSTC=env X=1 {compilers}/rustc-nightly")
    # Of the environment the kernel's build system takes none.
    monkeypatch.setenv("RUSTC", "rustc-nightly")
    assert f"`rustc` is {RUSTC}" in _refusal(tree)


def test_kernel_of_a_rustc_that_is_not_there_is_refused(tmp_path: Path, compilers: Path) -> None:
    message = _refusal(_built_with(tmp_path), "RUSTC=/not/there")
    assert f"`/not/there` does not run here; the kernel in KDIR={tmp_path}/tree" in message
    assert message.endswith(f"was compiled with {RUSTC}")


@pytest.mark.parametrize(
    "theirs, arguments",
    [
        (CLANG, ["LLVM=1"]),
        (CLANG, ["LLVM=-19"]),
        (CLANG, ["CC=clang"]),
        (GCC, ["CROSS_COMPILE=some-"]),
        (GCC, ["CC=some-gcc", "LLVM=1"]),
    ],
)
def test_kernel_of_that_kind_of_c_compiler_is_taken(
    tmp_path: Path, compilers: Path, theirs: str, arguments: list[str]
) -> None:
    assert _is_taken(_built_with(tmp_path, cc=theirs), *arguments)


@pytest.mark.parametrize(
    "theirs, arguments, ours",
    [
        (CLANG, [], f"`gcc` is {GCC}"),
        (GCC, ["LLVM=1"], f"`clang` is {CLANG}"),
        (GCC, ["CC=clang"], f"`clang` is {CLANG}"),
        (CLANG, ["CC=some-gcc"], f"`some-gcc` is {GCC}"),
    ],
)
def test_kernel_of_the_other_c_compiler_is_refused_with_both_versions(
    tmp_path: Path, compilers: Path, theirs: str, arguments: list[str], ours: str
) -> None:
    message = _refusal(_built_with(tmp_path, cc=theirs), *arguments)
    assert f"was compiled with {theirs}, and {ours}" in message


def test_kernel_of_a_c_compiler_that_is_not_there_is_refused(
    tmp_path: Path, compilers: Path
) -> None:
    message = _refusal(_built_with(tmp_path), "CROSS_COMPILE=not-there-")
    assert "`not-there-gcc` does not run here" in message and message.endswith(GCC)


def test_module_of_an_author_is_refused_for_another_rustc(tmp_path: Path, compilers: Path) -> None:
    assert _make("new", "NAME=mine", f"DIR={tmp_path}/mine").returncode == 0
    tree = _built_with(tmp_path, NIGHTLY)
    result = _make("-C", f"{tmp_path}/mine", tree)
    assert f"compiled with {NIGHTLY}, and `rustc` is {RUSTC}" in result.stderr
    assert REACHED in _make("-C", f"{tmp_path}/mine", tree, "RUSTC=rustc-nightly").stderr
    # Where there is no checkout, the kernel's build system is left to say so.
    assert REACHED in _make("-C", f"{tmp_path}/mine", tree, "KTCP=/not/there").stderr
