# SPDX-License-Identifier: GPL-2.0
"""How a kernel is made ready: what is compared, and what stops it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ktcp import apt, distribution, host_crates, image, index, kconfig, kernel, symbols, ui

CANDIDATE = index.Candidate(
    "7.3", "cloud-amd64", "7.3.4-1", "7.3.4+deb13-cloud-amd64", ("linux-binary", "linux-modules")
)

EXPORTS = """
EXPORT_SYMBOL_RUST_GPL(_RNvCs1_4core1a);
EXPORT_SYMBOL_RUST_GPL(_RNvCs1_6kernel1b);
"""
SYMVERS = """\
0x00000000\t_RNvCs1_4core1a\tvmlinux\tEXPORT_SYMBOL_GPL\t
0x00000000\t_RNvCs1_6kernel1b\tvmlinux\tEXPORT_SYMBOL_GPL\t
0x00000000\t_RNvCs1_4nova1c\tdrivers/gpu/nova-core/nova_core\tEXPORT_SYMBOL_GPL\t
0x00000000\t_Regular\tvmlinux2\tEXPORT_SYMBOL_GPL\t
0x00000000\tkernel_bind\tvmlinux\tEXPORT_SYMBOL\t
"""


def test_symbols_of_the_image_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "exports_core_generated.h").write_text(EXPORTS)
    ours = symbols.generated(tmp_path)
    theirs = symbols.exported(SYMVERS)
    assert theirs == {"_RNvCs1_4core1a", "_RNvCs1_6kernel1b"}
    symbols.compare(ours, theirs, {}, "rustc 1.85.1")


@pytest.mark.parametrize("theirs", [{"_R1"}, {"_R1", "_R2", "_R3"}, {"_R8", "_R9"}, set()])
def test_other_symbols_are_refused(theirs: set[str]) -> None:
    config = {"CONFIG_RUSTC_VERSION_TEXT": "rustc 1.99.0"}
    with pytest.raises(ui.Fail) as failure:
        symbols.compare({"_R1", "_R2"}, theirs, config, "rustc 1.85.1")
    assert "would not load" in failure.value.message
    assert "rustc 1.99.0" in failure.value.message and "rustc 1.85.1" in failure.value.message
    assert "make clean-cache" in failure.value.hint


def test_no_symbols_at_all_are_refused() -> None:
    with pytest.raises(ui.Fail):
        symbols.compare(set(), set(), {}, "rustc 1.85.1")


def test_configurations_differ_in_more_than_versions_of_packages() -> None:
    theirs = '# Linux/x86 7.3.4\nCONFIG_CC_VERSION_TEXT="gcc-14 (19)"\nCONFIG_RUST=y\nCONFIG_A=m\n'
    same = theirs.replace("(19)", "(20)")
    assert kconfig.compare(theirs, same) == ""
    other = theirs.replace("CONFIG_RUST=y", "# CONFIG_RUST is not set")
    assert kconfig.compare(theirs, other) == "-CONFIG_RUST=y\n+# CONFIG_RUST is not set"


def test_an_image_is_unpacked_by_the_script_of_its_source(tmp_path: Path) -> None:
    script = tmp_path / "scripts/extract-vmlinux"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\necho 'where it was found' >&2\nprintf 'vmlinux of ' && cat $1\n")
    script.chmod(0o755)
    packed = tmp_path / "vmlinuz"
    packed.write_bytes(b"Debian")
    assert image.unpacked(packed, tmp_path) == b"vmlinux of Debian"
    # The script says so if the image is packed in a way that it does not know.
    script.write_text("#!/bin/sh\necho not it\nexit 1\n")
    assert image.unpacked(packed, tmp_path) is None


def _serve_headers(monkeypatch: pytest.MonkeyPatch, config: str) -> list[str]:
    """Stands in for the archive, and lists what was fetched from it."""
    fetched: list[str] = []

    def unpack(packages: list[str], version: str, into: Path, progress: ui.Progress) -> None:
        fetched.extend(packages)
        if packages != [CANDIDATE.headers_package]:
            raise ui.Fail("the archive is gone")
        files = into / "usr/src" / packages[0]
        files.mkdir(parents=True)
        (files / ".config").write_text(config)
        (files / "Module.symvers").write_text(SYMVERS)

    monkeypatch.setattr(apt, "unpack", unpack)
    monkeypatch.setattr(distribution, "resolve", lambda: CANDIDATE)
    return fetched


def test_a_kernel_without_rust_is_told_before_anything_large_is_fetched(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = _serve_headers(monkeypatch, "CONFIG_MODULES=y\n# CONFIG_RUST is not set\n")
    with pytest.raises(ui.Fail) as failure:
        distribution.prepare()
    assert "built without Rust" in failure.value.message
    assert fetched == [CANDIDATE.headers_package]
    assert not list(folder.glob("kernels/*/packages"))


def test_a_fetch_that_fails_leaves_nothing_and_is_tried_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = _serve_headers(monkeypatch, "CONFIG_RUST=y\n")
    for attempt in (1, 2):
        with pytest.raises(ui.Fail, match="the archive is gone"):
            distribution.prepare()
        assert fetched.count(CANDIDATE.headers_package) == attempt
        assert not list(folder.glob("kernels/*/packages"))


def test_too_little_disk_is_refused_before_anything_is_fetched(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = _serve_headers(monkeypatch, "CONFIG_RUST=y\n")
    monkeypatch.setattr(distribution, "NEEDED_GIB", 1 << 20)
    with pytest.raises(ui.Fail) as failure:
        distribution.prepare()
    assert "MiB are free" in failure.value.message
    assert "KTCP_CACHE=" in failure.value.hint
    assert not fetched


# --- Without a network ---


@pytest.fixture
def no_network(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine where `apt-get` fails, and where no index was ever fetched."""
    tools = folder / "bin"
    tools.mkdir()
    (tools / "apt-get").write_text("#!/bin/sh\necho 'E: no route to host'\nexit 100\n")
    (tools / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=os.pathsep)
    monkeypatch.setattr(apt, "UPDATED", folder / "updated")
    monkeypatch.delenv("KERNEL", raising=False)
    monkeypatch.delenv("FLAVOUR", raising=False)
    return folder


def test_without_network_and_kernel_there_is_a_hint(no_network: Path) -> None:
    with pytest.raises(ui.Fail) as failure:
        distribution.resolve()
    assert "does not answer" in failure.value.message
    assert "check the network" in failure.value.hint


def test_without_network_a_prepared_kernel_is_taken(
    no_network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = no_network / "kernels" / f"{CANDIDATE.release}_{CANDIDATE.version}"
    build = folder / f"build-{kernel.compilers()}"
    build.mkdir(parents=True)
    with pytest.raises(ui.Fail):
        distribution.resolve()  # It is not complete.
    key = f"{distribution.LAYOUT} {CANDIDATE.version} {CANDIDATE.release}"
    (build / ".complete").write_text(key)
    assert distribution.resolve().release == CANDIDATE.release
    assert "in the cache" in capsys.readouterr().err


def test_without_network_the_index_of_last_time_is_taken(
    no_network: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    apt.UPDATED.touch()
    os.utime(apt.UPDATED, (0, 0))
    apt.update()
    assert "package index of last time" in capsys.readouterr().err


def test_crates_are_lent_with_their_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KTCP_CACHE", str(tmp_path))
    theirs, ours = tmp_path / "theirs", tmp_path / "ours"
    host = theirs / "rust/host"
    host.mkdir(parents=True)
    for name, made in ((".liba.rlib.cmd", 3), ("liba.rlib", 1), ("libb.rlib", 2)):
        (host / name).write_text(f"{theirs}/rust/host {tmp_path}/linux/rust")
        os.utime(host / name, (made, made))
    lender = kernel.Kernel("7.3", "x", "1", "7.3.4", tmp_path / "linux", theirs, tmp_path, tmp_path)
    configured = tmp_path / "configured"
    with ui.Progress("lend") as progress:
        arguments = (tmp_path / "tree", ours, ["touch", str(configured)], progress)
        (tmp_path / "tree").mkdir()
        host_crates.lend(lender, *arguments)
        lent = {path.name: path for path in (ours / "rust/host").iterdir()}
        assert lent["liba.rlib"].read_text() == (host / "liba.rlib").read_text()
        assert lent[".liba.rlib.cmd"].read_text() == f"{ours}/rust/host {tmp_path}/tree/rust"
        # Each is newer than what it is made of.
        order = [configured, lent["liba.rlib"], lent["libb.rlib"]]
        times = [path.stat().st_mtime_ns for path in order]
        assert times == sorted(times)
        # Once a build has begun, they are its own.
        lent["liba.rlib"].write_text("made here")
        host_crates.lend(lender, *arguments)
        assert lent["liba.rlib"].read_text() == "made here"
