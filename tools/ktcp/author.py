# SPDX-License-Identifier: GPL-2.0
"""Modules of others that use the library: building them, and running their KUnit tests.

They get nothing but what `make install` puts in place.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
from pathlib import Path

from . import cache, cli, distribution, kernel, kunit, module, ui

OBJECT = re.compile(r"^obj-\S.*:?\+?= *(\w+)\.o *$", re.MULTILINE)


def name_of(folder: Path) -> str:
    """The name of the module in `folder`, as its Kbuild says."""
    if folder == Path():
        raise ui.Fail("DIR= is not given: the folder of the module", "make build-module DIR=/path")
    kbuild = folder / "Kbuild"
    match = OBJECT.search(kbuild.read_text()) if kbuild.is_file() else None
    if match is None or not (folder / f"{match[1]}.rs").is_file():
        raise ui.Fail(
            f"DIR={folder} holds no module: no Kbuild with one object, and its source beside it",
            "`make new NAME=my_service DIR=…` writes one into a new folder",
        )
    return match[1]


def install(prepared: kernel.Kernel, into: Path) -> Path:
    """Does `make install` of the development files; returns their folder."""
    module.build(prepared, quiet=True)
    module.RELEASE_FILE.write_text(prepared.release + "\n")
    subprocess.run(
        [str(module.CHECKOUT / "tools/install-modules"), "--development-files"],
        cwd=module.CHECKOUT,
        env={**os.environ, "DESTDIR": str(into)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    return into / f"usr/src/ktcp_server-{prepared.release}"


def build(prepared: kernel.Kernel, folder: Path) -> Path:
    """Builds the module in `folder` into its `build/`; returns the module."""
    name, output = name_of(folder), folder / "build"
    with cache.locked(module.BUILD / f".author-{prepared.release}.lock"):
        installed = install(prepared, module.BUILD / "install")
        output.mkdir(exist_ok=True)
        places = (f"M={folder}", f"MO={output}", f"KTCP_SERVER={installed}")
        try:
            module.run(prepared.make(*places, "modules"))
        finally:
            module.hand_over(output, folder)
            module.hand_over(module.BUILD)
    return output / f"{name}.ko"


# --- The command line ---


def _build_command(arguments: argparse.Namespace) -> int:
    name_of(arguments.folder)
    print(build(distribution.prepare(), arguments.folder))
    return 0


def _test_command(arguments: argparse.Namespace) -> int:
    result = kunit.run(name_of(arguments.folder), arguments.folder)
    print(f"{result.passed} passed, {result.failed} failed")
    return 0 if result.failed == 0 else 1


def register(subparsers: cli.Subparsers) -> None:
    for name, call, what in (
        ("build-module", _build_command, "build a module that uses the library"),
        ("test-module", _test_command, "run its KUnit tests on user-mode Linux"),
    ):
        command = subparsers.add_parser(name, help=what)
        command.add_argument("folder", type=Path, help="the folder of the module")
        command.set_defaults(call=call)
