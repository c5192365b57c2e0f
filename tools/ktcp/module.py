# SPDX-License-Identifier: GPL-2.0
"""Builds the modules of this checkout for a prepared kernel."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
from pathlib import Path

from . import cache, cli, kernel, ui

CHECKOUT = Path(__file__).resolve().parents[2]
BUILD = CHECKOUT / "build"
# The release that was built last, for `make install`
RELEASE_FILE = BUILD / ".release"


def _hand_over(folder: Path) -> None:
    """Gives what root made in the checkout to the checkout's owner."""
    owner = CHECKOUT.stat()
    if owner.st_uid == 0:
        return
    for parent, folders, files in os.walk(folder):
        for name in (".", *folders, *files):
            os.chown(os.path.join(parent, name), owner.st_uid, owner.st_gid, follow_symlinks=False)


def _run(command: list[str]) -> None:
    """Shows what the kernel's build system says: a compiler's errors are for the author to read."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2) as child:
        status = child.wait()
    if status != 0:
        raise ui.Fail("the modules do not build", "mend what the compiler says above")


def external(prepared: kernel.Kernel, output: Path, *arguments: str) -> list[str]:
    """The command that runs the kernel's build system over this checkout."""
    # Out of the kernel tree, where no Kconfig is read, the pieces are chosen here.
    pieces = ("CONFIG_KTCP_SERVER=m", "CONFIG_KTCP_KECHO=m")
    return prepared.make(f"M={CHECKOUT}", f"MO={output}", *pieces, *arguments)


def build(prepared: kernel.Kernel, clippy: bool = False, quiet: bool = False) -> Path:
    """Builds the modules; returns the folder that holds `ktcp_server.ko` and `kecho.ko`.

    With `clippy` the kernel's lints are run too, in a folder of their own. With `quiet` only
    warnings and errors are shown.
    """
    output = BUILD / (f"{prepared.release}.clippy" if clippy else prepared.release)
    arguments = ["modules"]
    if clippy:
        arguments += ["CLIPPY=1"]
    if quiet and not os.environ.get("V"):
        arguments += ["-s"]
    elif os.environ.get("V"):
        arguments += [f"V={os.environ['V']}"]
    with cache.locked(BUILD / f".{output.name}.lock"):
        output.mkdir(parents=True, exist_ok=True)
        try:
            _run(external(prepared, output, *arguments))
        finally:
            _hand_over(BUILD)
    return output


def _modules_command(_arguments: argparse.Namespace) -> int:
    prepared = kernel.prepare()
    output = build(prepared)
    RELEASE_FILE.write_text(prepared.release + "\n")
    _hand_over(BUILD)
    for path in sorted(output.rglob("*.ko")):
        print(path.relative_to(CHECKOUT))
    return 0


def _rust_analyzer_command(_arguments: argparse.Namespace) -> int:
    prepared = kernel.prepare()
    output = build(prepared, quiet=True)
    _run(external(prepared, output, "-s", "rust-analyzer"))
    project = CHECKOUT / "rust-project.json"
    shutil.move(output / project.name, project)
    _hand_over(BUILD)
    owner = CHECKOUT.stat()
    os.chown(project, owner.st_uid, owner.st_gid)
    print(project.relative_to(CHECKOUT))
    return 0


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser("modules", help="build the modules")
    command.set_defaults(call=_modules_command)
    command = subparsers.add_parser("rust-analyzer", help="write rust-project.json")
    command.set_defaults(call=_rust_analyzer_command)
