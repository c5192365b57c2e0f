# SPDX-License-Identifier: GPL-2.0
"""The build directory of the distribution's kernel, with the Rust metadata that modules are built with.

Debian's headers packages have no Rust metadata. They are made again here, from the source and the
configuration of the very same version, with the compilers that the kernel was built with.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from . import cache, index, kconfig, kernel, symbols, ui

# Here is a `rustc` that does not optimise where it is not worth it.
QUICK_TOOLS = Path(__file__).resolve().parents[1] / "quick"


def _make(build: Path, release: str, *arguments: str) -> list[str]:
    return kernel.run_make(build, *kernel.toolchain(build, release), *arguments)


def configure(chosen: index.Candidate, paths: kernel.Paths, progress: ui.Progress) -> None:
    """Configures the build directory as the distribution does; raises `Fail` if that is not possible."""
    config = paths.build / ".config"
    shutil.copyfile(paths.packages / ".config", config)
    theirs = config.read_text()
    # The build directory has no Makefile of its own before its first use.
    command = _make(paths.build, chosen.release, f"O={paths.build}", "olddefconfig")
    command[command.index("-C") + 1] = str(paths.source / "linux")
    ui.run_logged(command, cache.log("configure"), progress)
    difference = kconfig.compare(theirs, config.read_text())
    if difference:
        raise ui.Fail(
            f"the configuration of {chosen.release} changes under the tools of the build root "
            "(-: the distribution's, +: here):\n"
            + "\n".join(f"    {line}" for line in difference.splitlines()[:20]),
            "lines with a VERSION mean that its compilers are not those of the build root: "
            "`make clean-cache` for a new build root, or choose another kernel with KERNEL=",
        )


def prepare_modules(chosen: index.Candidate, paths: kernel.Paths, progress: ui.Progress) -> None:
    """Builds the Rust metadata, and the tools that build modules."""
    ui.run_logged(
        _make(paths.build, chosen.release, *kernel.QUICK, "prepare", "modules_prepare"),
        cache.log("prepare"),
        progress,
        env={"PATH": f"{QUICK_TOOLS}:{os.environ['PATH']}"},
    )
    made = (paths.build / "include/config/kernel.release").read_text().strip()
    if made != chosen.release:
        raise ui.Fail(
            f"the prepared source calls itself {made} and not {chosen.release}",
            "its modules would not load; choose another kernel with KERNEL=",
        )


def check_symbols(paths: kernel.Paths) -> None:
    """Raises `Fail` if modules built here would not load into the distribution's kernel."""
    symvers = paths.packages / "Module.symvers"
    rustc = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True)
    symbols.compare(
        symbols.generated(paths.build / "rust"),
        symbols.exported(symvers.read_text()),
        kconfig.read(paths.packages / ".config"),
        rustc.stdout.strip(),
    )
    shutil.copyfile(symvers, paths.build / "Module.symvers")
