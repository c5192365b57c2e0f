# SPDX-License-Identifier: GPL-2.0
"""Programs of the build root for the guest, beside its busybox."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from . import ui

# `	libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, `	/lib64/ld-linux-x86-64.so.2 (0x…)`
LIBRARY = re.compile(r"(/\S+) \(0x[0-9a-f]+\)$", re.MULTILINE)


def libraries(listing: str) -> list[Path]:
    """The files that the output of `ldd` names."""
    return [Path(match) for match in LIBRARY.findall(listing)]


def programs(names: Iterable[str]) -> dict[str, bytes]:
    """The files of these programs, with the libraries that they need, for a guest."""
    files: dict[str, bytes] = {}
    for name in names:
        place = shutil.which(name)
        if place is None:
            raise ui.Fail(
                f"the build root has no `{name}`",
                "`make clean-cache` and run again: the build root is made anew",
            )
        # Not where busybox puts the link of the same name.
        files[f"/usr/bin/{name}"] = Path(place).read_bytes()
        files.update(_needed(Path(place)))
    return files


def _needed(binary: Path) -> dict[str, bytes]:
    """The libraries that a program, or another library, needs."""
    listing = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False)
    return {str(library): library.read_bytes() for library in libraries(listing.stdout)}


# Prints the files of all modules of Python that are in use.
PYTHON_FILES = """
import sys
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None) or "")
"""


def python(*imports: str) -> dict[str, bytes]:
    """The files of Python with these modules of its library, for a guest. It is run as
    `python3 -IS`: with nothing else of its library."""
    words = ["python3", "-IS", "-c", f"import {', '.join(imports)}\n{PYTHON_FILES}"]
    listing = subprocess.run(words, capture_output=True, text=True, check=True)
    files = programs(["python3"])
    # Where it sees that it is at home
    files["/usr/lib/python3.13/lib-dynload/.keep"] = b""
    for path in map(Path, filter(None, listing.stdout.splitlines())):
        files[str(path)] = path.read_bytes()
        if path.suffix == ".so":
            files.update(_needed(path))
    return files
