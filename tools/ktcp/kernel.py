# SPDX-License-Identifier: GPL-2.0
"""A kernel to build modules for, and to boot, and the commands that build for it."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import cache, index, kconfig, ui

# Builds the same kernel sooner: warnings take a tenth of clang's time, and those about the distribution's
# source are not for us.
QUICK = ("KCFLAGS=-w",)


@dataclass(frozen=True)
class Kernel:
    """A kernel that is ready to build modules for, and to boot."""

    series: str
    flavour: str
    version: str
    release: str
    # Pristine: everything is built out of it, with O=.
    source: Path
    build: Path
    # The file to boot: the kernel itself if it can be entered without firmware (CONFIG_PVH).
    # Unpacking an image takes more than a second on an emulated processor.
    image: Path
    # `/lib/modules/<release>` of this kernel
    modules: Path
    # Arguments that choose its compilers; by default, those of the distribution.
    toolchain: tuple[str, ...] = ()

    def make(self, *arguments: str) -> list[str]:
        """The command that runs the kernel's build system in the build directory."""
        chosen = self.toolchain or toolchain(self.build, self.release)
        return run_make(self.build, *chosen, *arguments)

    def has(self, option: str) -> bool:
        """Returns true if the option is built in."""
        return kconfig.read(self.build / ".config").get(option) == "y"


@dataclass(frozen=True)
class Paths:
    """The paths of the parts of a kernel in the cache."""

    source: Path
    packages: Path
    build: Path
    image: Path

    @staticmethod
    def of(version: str, release: str) -> Paths:
        folder = cache.root() / "kernels" / f"{release}_{version}"
        # Checkouts whose build roots have different compilers must not undo each other's work.
        build = f"build-{compilers()}"
        source = cache.root() / "sources" / version
        return Paths(source, folder / "packages", folder / build, folder / "image")


def _compiler(config: dict[str, str]) -> str:
    """The C compiler that the kernel was built with, by the name that its configuration gives."""
    name = config.get("CONFIG_CC_VERSION_TEXT", "gcc").split()[0]
    if shutil.which(name) is None:
        raise ui.Fail(
            f"this kernel was built with `{name}`, which the build root does not have",
            "choose another kernel with KERNEL=, or add that compiler to tools/buildroot",
        )
    return name


@functools.cache
def compilers() -> str:
    """A name for the versions of all that makes code for a kernel in this build root."""
    versions = ""
    for name in ("gcc", "clang", "ld", "ld.lld", "rustc", "bindgen", "pahole"):
        versions += subprocess.run(
            [name, "--version"], stdout=subprocess.PIPE, check=False, text=True
        ).stdout
    return hashlib.sha256(versions.encode()).hexdigest()[:8]


def run_make(build: Path, *arguments: str) -> list[str]:
    """The command that runs the kernel's build system in a folder."""
    jobs = f"-j{os.cpu_count()}"
    return ["make", "--no-print-directory", jobs, "-C", str(build), "ARCH=x86", *arguments]


def toolchain(build: Path, release: str) -> tuple[str, ...]:
    """The arguments that have the distribution's kernel built as the distribution does."""
    match = index.RELEASE.fullmatch(release)
    assert match is not None
    return (
        f"CC={_compiler(kconfig.read(build / '.config'))}",
        f"LOCALVERSION={release.removeprefix(match['upstream'])}",
    )
