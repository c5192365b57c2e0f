# SPDX-License-Identifier: GPL-2.0
"""The guest's root file system: busybox, a few kernel modules and what starts it, in a cpio archive.

The archive is written for every boot, so there is nothing to keep fresh.
"""

from __future__ import annotations

import hashlib
import lzma
import stat
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from . import cache, ui
from .kernel import Kernel

BUSYBOX = Path("/bin/busybox")
GUEST = Path(__file__).parent.parent / "guest"

# What the guest cannot live without. The cloud flavour has most of it built in, others do not.
DRIVERS = {
    "virtio_pci": "CONFIG_VIRTIO_PCI",
    "virtio_console": "CONFIG_VIRTIO_CONSOLE",
    "virtio_net": "CONFIG_VIRTIO_NET",
}

# How programs and scripts begin
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
    """A module as `make INSTALL_MOD_STRIP=1 modules_install` installs it: what is for debuggers is
    most of it, and to load it takes time."""
    with tempfile.TemporaryDirectory(prefix="ktcp-strip.") as folder:
        stripped = Path(folder, module.name)
        subprocess.run(["strip", "--strip-debug", "-o", stripped, module], check=True)
        return stripped.read_bytes()


class Archive:
    """A cpio archive in the `newc` format of the kernel's Documentation/driver-api/early-userspace."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._names: set[str] = set()

    def file(self, name: str | PurePosixPath, content: bytes, mode: int = 0o644) -> None:
        self._entry(str(name).lstrip("/"), stat.S_IFREG | mode, content)

    def link(self, name: str, target: str) -> None:
        self._entry(name.lstrip("/"), stat.S_IFLNK | 0o777, target.encode())

    def character_device(self, name: str, major: int, minor: int) -> None:
        self._entry(name.lstrip("/"), stat.S_IFCHR | 0o600, b"", (major, minor))

    def _entry(
        self, name: str, mode: int, content: bytes, device: tuple[int, int] = (0, 0)
    ) -> None:
        parent = str(PurePosixPath(name).parent)
        if parent != "." and parent not in self._names:
            self._entry(parent, stat.S_IFDIR | 0o755, b"")
        self._names.add(name)
        self._parts.append(_record(name, mode, content, device, inode=len(self._parts) + 1))

    def bytes(self) -> bytes:
        return b"".join([*self._parts, _record("TRAILER!!!", 0, b"", (0, 0), inode=0)])


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _record(name: str, mode: int, content: bytes, device: tuple[int, int], inode: int) -> bytes:
    path = name.encode() + b"\0"
    # inode, mode, uid, gid, links, mtime, size, device (2), the node's device (2), name size, sum
    fields = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(path), 0)
    header = b"070701" + b"".join(b"%08X" % field for field in fields)
    return _padded(header + path) + _padded(content)


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
    """The files of the modules `wanted` and of those they need, each after what it needs.

    What is built in, or not there at all, has none.
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
    archive = Archive()
    archive.file("init", (GUEST / "init").read_bytes(), 0o755)
    archive.file("etc/fstab", (GUEST / "fstab").read_bytes())
    archive.file("bin/agent", _agent(), 0o755)
    archive.file("bin/busybox", BUSYBOX.read_bytes(), 0o755)
    # The kernel opens the console for init before anything can be mounted on /dev.
    archive.character_device("dev/console", 5, 1)
    names = [f"/lib/modules/{_module_name(path)}.ko" for path in loaded]
    for name, path in zip(names, loaded):
        archive.file(name, _module_content(path))
    archive.file("etc/boot-modules", "".join(f"{name}\n" for name in names).encode())
    for module in modules:
        archive.file(MODULES / module.name, _stripped(module))
    for name, content in files.items():
        archive.file(name, content, 0o755 if content.startswith(EXECUTABLE) else 0o644)
    return archive.bytes()
