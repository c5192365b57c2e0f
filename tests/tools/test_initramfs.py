# SPDX-License-Identifier: GPL-2.0

from __future__ import annotations

import lzma
import os
import subprocess
from pathlib import Path

import pytest

from ktcp import initramfs, ui
from ktcp.kernel import Kernel


def unpack(archive: bytes, folder: Path) -> None:
    folder.mkdir()
    command = ["cpio", "--extract", "--quiet", "--make-directories", "--no-absolute-filenames"]
    subprocess.run(command, cwd=folder, input=archive, check=True)


def test_cpio_reads_the_archive(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    tree = initramfs.Tree(tmp_path / "tree")
    contents = {f"a/b/{size}": bytes(size) + b"x" * size for size in range(9)}
    for name, content in contents.items():
        tree.file(f"/{name}", content)
    tree.file("run me", b"#!/bin/sh\n", 0o755)
    tree.character_device("dev/console", 5, 1)
    unpack(tree.archive(), tmp_path / "root")
    for name, content in contents.items():
        assert (tmp_path / "root" / name).read_bytes() == content
    assert (tmp_path / "root/run me").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "root/dev/console").is_char_device()


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """A kernel whose virtio_net is a module that needs others, under the names that files have."""
    modules = tmp_path / "lib/modules/7.3.4"
    files = ["core/failover", "net/net-failover", "net/virtio_net"]
    for file in files:
        path = modules / f"{file}.ko.xz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(lzma.compress(f"the module {path.name.split('.')[0]}".encode()))
    modprobe = tmp_path / "bin/modprobe"
    modprobe.parent.mkdir()
    modprobe.write_text(
        f"""#!/bin/sh
        [ "$1 $2 $3 $4 $5" = "--show-depends -d {tmp_path} -S 7.3.4" ] || exit 2
        case $6 in
        virtio_net) for file in {" ".join(files)}; do echo insmod {modules}/$file.ko.*; done;;
        virtio_pci) echo builtin virtio_pci;;
        *) exit 1;;
        esac
        """
    )
    modprobe.chmod(0o755)
    monkeypatch.setenv("PATH", str(modprobe.parent), prepend=os.pathsep)
    build = tmp_path / "build"
    build.mkdir()
    (build / ".config").write_text("CONFIG_VIRTIO_PCI=y\nCONFIG_VIRTIO_CONSOLE=y\n")
    return Kernel("7.3", "x", "1", "7.3.4", tmp_path, build, tmp_path, modules)


def test_drivers_are_loaded_after_what_they_need(kernel: Kernel, tmp_path: Path) -> None:
    unpack(initramfs.build(kernel, [], {"etc/motd": b"hello"}), tmp_path / "root")
    listed = (tmp_path / "root/etc/boot-modules").read_text().split()
    assert [Path(name).stem for name in listed] == ["failover", "net_failover", "virtio_net"]
    for name in listed:
        assert b"the module" in (tmp_path / "root" / name.lstrip("/")).read_bytes()
    assert (tmp_path / "root/etc/motd").read_bytes() == b"hello"


def test_kernel_without_a_driver_is_refused(kernel: Kernel) -> None:
    (kernel.build / ".config").write_text("CONFIG_VIRTIO_PCI=y\n")
    with pytest.raises(ui.Fail, match="has no virtio_console"):
        initramfs.build(kernel, [], {})


def test_unknown_compression_is_refused(kernel: Kernel) -> None:
    packed = next(kernel.modules.rglob("failover.ko.xz"))
    packed.rename(packed.with_suffix(".lzo"))
    with pytest.raises(ui.Fail, match="failover.ko.lzo is compressed"):
        initramfs.build(kernel, [], {})
