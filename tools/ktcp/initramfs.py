# SPDX-License-Identifier: GPL-2.0
"""The guest's root file system: busybox, a few kernel modules and init, in a cpio archive.

The archive is written for every boot, so there is nothing to keep fresh.
"""

from __future__ import annotations

import hashlib
import lzma
import os
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from . import cache, ui
from .kernel import Kernel

BUSYBOX = Path("/bin/busybox")
GUEST = Path(__file__).parent.parent / "guest"

# Drivers that the guest needs. The cloud flavour has most of them built in, others do not.
DRIVERS = {
    "virtio_pci": "CONFIG_VIRTIO_PCI",
    "virtio_console": "CONFIG_VIRTIO_CONSOLE",
    "virtio_net": "CONFIG_VIRTIO_NET",
}

# The first bytes of programs and scripts
EXECUTABLE = (b"\x7fELF", b"#!")

# Where the modules that are under test lie in the guest.
MODULES = PurePosixPath("/modules")


def _agent() -> bytes:
    """The program that runs the commands, which needs no library."""
    source = GUEST / "agent.c"
    key = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    folder = cache.root() / "agents" / key
    with cache.once(folder, key) as needed:
        if needed:
            command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-static"]
            ui.run_logged([*command, str(source), "-o", str(folder / "agent")], cache.log("agent"))
    return (folder / "agent").read_bytes()


def _stripped(module: Path) -> bytes:
    """Strips a module as `make INSTALL_MOD_STRIP=1 modules_install` does: debugging data is
    most of it, and takes time to load."""
    with tempfile.TemporaryDirectory(prefix="ktcp-strip.") as folder:
        stripped = Path(folder, module.name)
        subprocess.run(["strip", "--strip-debug", "-o", stripped, module], check=True)
        return stripped.read_bytes()


class Tree:
    """A folder that becomes the guest's root file system."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def file(self, name: str | PurePosixPath, content: bytes, mode: int = 0o644) -> None:
        path = self._path(name)
        path.write_bytes(content)
        path.chmod(mode)

    def character_device(self, name: str, major: int, minor: int) -> None:
        os.mknod(self._path(name), stat.S_IFCHR | 0o600, os.makedev(major, minor))

    def archive(self) -> bytes:
        """The folder in the one format that the kernel unpacks."""
        # Each folder has to come before its contents.
        names = sorted(str(path.relative_to(self._root)) for path in self._root.rglob("*"))
        return subprocess.run(
            ["cpio", "--create", "--format=newc", "--null", "--quiet", "--owner=+0:+0"],
            cwd=self._root,
            input="\0".join(names).encode(),
            check=True,
            stdout=subprocess.PIPE,
        ).stdout

    def _path(self, name: str | PurePosixPath) -> Path:
        path = self._root / str(name).lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        return path


def _module_name(path: Path) -> str:
    return path.name.split(".ko")[0].replace("-", "_")


def _module_content(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".xz":
        return lzma.decompress(data)
    if path.suffix != ".ko":
        raise ui.Fail(
            f"the kernel module {path.name} is compressed in a way that is not known here",
            "use a kernel of Debian, or one with uncompressed modules",
        )
    return data


def _in_load_order(kernel: Kernel, wanted: Iterable[str]) -> list[Path]:
    """Returns the files of the modules `wanted` and of those they need, each after its dependencies.

    Modules that are built in, or missing, have no file.
    """
    # `<root>/lib/modules/<release>`
    root = kernel.modules.parents[2]
    order: dict[Path, None] = {}
    for name in wanted:
        result = subprocess.run(
            ["modprobe", "--show-depends", "-d", root, "-S", kernel.release, name],
            capture_output=True,
            text=True,
            check=False,
        )
        lines = [line.split() for line in result.stdout.splitlines()]
        order.update((Path(words[1]), None) for words in lines if words[0] == "insmod")
    return list(order)


def _check_built_in(kernel: Kernel, loaded: Iterable[Path]) -> None:
    """Every driver that is no module has to be part of the kernel itself."""
    config = (kernel.build / ".config").read_text().splitlines()
    present = {_module_name(path) for path in loaded}
    for name, option in DRIVERS.items():
        if name not in present and f"{option}=y" not in config:
            raise ui.Fail(
                f"the kernel {kernel.release} has no {name}, which the virtual machine needs",
                f"choose a kernel with {option}, such as Debian's cloud flavour",
            )


def build(
    kernel: Kernel,
    modules: Iterable[Path],
    files: Mapping[str, bytes],
    drivers: Sequence[str] = (),
) -> bytes:
    """The archive for `kernel`, with `modules` in /modules (not loaded) and `files` by their path.

    Programs among the files can be run. The kernel's own modules `drivers` are loaded at boot,
    unless they are built in.
    """
    if not BUSYBOX.exists():
        raise ui.Fail(
            "the build root has no busybox", "`make clean-cache` and run again: it is made anew"
        )
    loaded = _in_load_order(kernel, [*DRIVERS, *drivers])
    _check_built_in(kernel, loaded)
    with tempfile.TemporaryDirectory(prefix="ktcp-initramfs.") as root:
        tree = Tree(Path(root))
        tree.file("init", (GUEST / "init").read_bytes(), 0o755)
        tree.file("etc/fstab", (GUEST / "fstab").read_bytes())
        tree.file("bin/agent", _agent(), 0o755)
        tree.file("bin/unload", (GUEST / "unload").read_bytes(), 0o755)
        tree.file("bin/busybox", BUSYBOX.read_bytes(), 0o755)
        # The kernel opens the console for init before anything can be mounted on /dev.
        tree.character_device("dev/console", 5, 1)
        names = [f"/lib/modules/{_module_name(path)}.ko" for path in loaded]
        for name, path in zip(names, loaded):
            tree.file(name, _module_content(path))
        tree.file("etc/boot-modules", "".join(f"{name}\n" for name in names).encode())
        for module in modules:
            tree.file(MODULES / module.name, _stripped(module))
        for name, content in files.items():
            tree.file(name, content, 0o755 if content.startswith(EXECUTABLE) else 0o644)
        return tree.archive()
