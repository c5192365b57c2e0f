# SPDX-License-Identifier: GPL-2.0
"""The debug kernel: the source of the distribution's kernel, built to report mistakes that others overlook.

It is made once for each configuration, and knows nothing of this checkout: the library, its users
and its KUnit suites are loaded into it as modules.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
from pathlib import Path

from . import cache, cli, distribution, host_crates, kernel, lanes, ui

# Part of the key: raise it when the kernel made below changes.
LAYOUT = "1"

CONFIG = Path(__file__).resolve().parents[2] / "tests/debug/kernel.config"

# Rust and KASAN together need a kernel built by clang.
TOOLCHAIN = ("LLVM=1",)

NEEDED_GIB = 3


def missing(wanted: str, config: str) -> list[str]:
    """The lines of the configuration `wanted` that are not in `config`."""
    present = set(config.splitlines())
    return [
        line for line in wanted.splitlines() if line.startswith("CONFIG_") and line not in present
    ]


def _configure(source: Path, build: Path, progress: ui.Progress) -> None:
    arguments = (f"O={build}", *TOOLCHAIN, f"KCONFIG_ALLCONFIG={CONFIG}", "allnoconfig")
    ui.run_logged(kernel.run_make(source, *arguments), cache.log("debug-config"), progress)
    if lost := missing(CONFIG.read_text(), (build / ".config").read_text()):
        raise ui.Fail(
            f"the debug kernel's configuration loses {', '.join(lost)}",
            f"give each what it depends on, in {CONFIG}",
        )


def _build(build: Path, progress: ui.Progress) -> None:
    make = kernel.run_make(build, *TOOLCHAIN, *kernel.QUICK, "vmlinux", "modules")
    command = lanes.yielding(make)
    ui.run_logged(command, cache.log("debug-build"), progress, unit="steps")
    # It is linked, and never built again.
    for path in [*build.rglob("*.o"), *build.rglob("*.a")]:
        path.unlink()


def prepare() -> kernel.Kernel:
    """The debug kernel of the newest version, made if need be."""
    stock = distribution.prepare()
    config = hashlib.sha256(CONFIG.read_bytes()).hexdigest()[:8]
    folder = cache.root() / "kernels" / f"debug_{stock.version}-{config}"
    build = folder / f"build-{kernel.compilers()}"
    key = f"{LAYOUT} {stock.version} {config}"
    steps = ui.Steps(2)
    with cache.once(build, key) as needed:
        if needed:
            cache.check_disk(NEEDED_GIB)
            with steps.step("configure the debug kernel") as progress:
                _configure(stock.source, build, progress)
                make = kernel.run_make(build, *TOOLCHAIN)
                host_crates.lend(stock, stock.source, build, make, progress)
            with steps.step("build it, once: some ten minutes on two cores") as progress:
                _build(build, progress)
    return dataclasses.replace(
        stock,
        flavour="debug",
        release=(build / "include/config/kernel.release").read_text().strip(),
        build=build,
        image=build / "vmlinux",
        # All that it needs is built in.
        modules=build / "modules",
        toolchain=TOOLCHAIN,
    )


# --- The command line ---


def _prepare_command(_arguments: argparse.Namespace) -> int:
    print(prepare().image)
    return 0


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser("prepare-debug", help="make the debug kernel ready")
    command.set_defaults(call=_prepare_command)
