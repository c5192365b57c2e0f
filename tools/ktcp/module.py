# SPDX-License-Identifier: GPL-2.0
"""Builds the modules of this checkout for a prepared kernel."""

from __future__ import annotations

import argparse
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from . import analyzer, cache, cli, crates, distribution, kernel, ui

CHECKOUT = Path(__file__).resolve().parents[2]
BUILD = CHECKOUT / "build"
# The release that was built last, for `make install`
RELEASE_FILE = BUILD / ".release"


def hand_over(path: Path, where: Path = CHECKOUT) -> None:
    """Gives files that root made in the folder `where` to the folder's owner."""
    owner = where.stat()
    if owner.st_uid == 0:
        return
    for made in (path, *path.rglob("*")):
        # Another build may be at work in there, and remove its temporary files.
        with suppress(FileNotFoundError):
            os.chown(made, owner.st_uid, owner.st_gid, follow_symlinks=False)


def run(command: list[str]) -> None:
    """Runs a command and shows its output: a compiler's errors are for the author to read."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=2) as child:
        status = child.wait()
    if status != 0:
        raise ui.Fail("the modules do not build", "mend what the compiler says above")


# A warning is an error.
STRICT = ("KRUSTFLAGS=-Dwarnings", "KCFLAGS=-Werror")


def external(prepared: kernel.Kernel, output: Path, *arguments: str) -> list[str]:
    """The command that runs the kernel's build system over this checkout."""
    # Out of the kernel tree, where no Kconfig is read, the pieces are chosen here.
    pieces = ["CONFIG_KTCP_SERVER=m", "CONFIG_KTCP_KECHO=m"]
    if prepared.has("CONFIG_KUNIT"):
        # No lint builds the suites.
        pieces += ["CONFIG_KTCP_KUNIT_TEST=m", *STRICT]
    try:
        pieces.append(f"KTCP_CRATES={crates.fetch()}")
    except ui.Fail as failure:
        ui.warn(f"khttpd, the one module that uses a published crate, is left out: {failure}")
    return prepared.make(f"M={CHECKOUT}", f"MO={output}", *pieces, *arguments)


@contextmanager
def _output(name: str) -> Iterator[Path]:
    """The folder `name` below `build/`, for this run alone."""
    folder = BUILD / name
    # Not in the cache: other checkouts need not be waited for.
    with cache.locked(BUILD / f".{name}.lock"):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            yield folder
        finally:
            hand_over(BUILD)


def build(prepared: kernel.Kernel, quiet: bool = False) -> Path:
    """Builds the modules; returns the folder that holds `ktcp_server.ko` and `kecho.ko`.

    With `quiet` only warnings and errors are shown.
    """
    verbosity = [f"V={os.environ['V']}"] if os.environ.get("V") else ["-s"] if quiet else []
    with _output(prepared.release) as folder:
        run(external(prepared, folder, *verbosity, "modules"))
    return folder


def clippy(prepared: kernel.Kernel) -> subprocess.CompletedProcess[str]:
    """Builds the modules with the kernel's lints and no warnings allowed, in a folder of their own."""
    with _output(f"{prepared.release}.clippy") as folder:
        return subprocess.run(
            external(prepared, folder, "-s", "CLIPPY=1", *STRICT, "modules"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def _modules_command(_arguments: argparse.Namespace) -> int:
    prepared = distribution.prepare()
    output = build(prepared)
    RELEASE_FILE.write_text(prepared.release + "\n")
    hand_over(BUILD)
    for path in sorted(output.rglob("*.ko")):
        print(path.relative_to(CHECKOUT))
    return 0


def _rust_analyzer_command(_arguments: argparse.Namespace) -> int:
    prepared = distribution.prepare()
    output = build(prepared, quiet=True)
    run(external(prepared, output, "-s", "rust-analyzer"))
    project = CHECKOUT / "rust-project.json"
    analyzer.main(output / project.name)
    hand_over(BUILD)
    hand_over(project)
    print(project.relative_to(CHECKOUT))
    return 0


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser("modules", help="build the modules")
    command.set_defaults(call=_modules_command)
    command = subparsers.add_parser("rust-analyzer", help="write rust-project.json")
    command.set_defaults(call=_rust_analyzer_command)
