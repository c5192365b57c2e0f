# SPDX-License-Identifier: GPL-2.0
"""The Rust symbols of a kernel, by which it is seen whether modules built here would load into it.

Their names hold a hash of compiler and crate.
"""

from __future__ import annotations

import re
from pathlib import Path

from . import ui

RUST_EXPORT = re.compile(r"EXPORT_SYMBOL_RUST_GPL\((_R\w+)\)")


def generated(rust: Path) -> set[str]:
    """The Rust symbols that a kernel built here would export."""
    names: set[str] = set()
    for header in rust.glob("exports_*_generated.h"):
        names.update(RUST_EXPORT.findall(header.read_text()))
    return names


def exported(symvers: str) -> set[str]:
    """The Rust symbols that the image exports, according to its `Module.symvers`."""
    names = set()
    for line in symvers.splitlines():
        fields = line.split("\t")
        if len(fields) >= 3 and fields[1].startswith("_R") and fields[2] == "vmlinux":
            names.add(fields[1])
    return names


def compare(ours: set[str], theirs: set[str], config: dict[str, str], rustc: str) -> None:
    """Raises `Fail` unless the sets are the same: modules built here would not load."""
    if ours == theirs and ours:
        return
    here = f"{len(ours & theirs)} of its {len(theirs)} Rust symbols are met, {len(ours - theirs)} differ"
    raise ui.Fail(
        "modules built here would not load into the distribution's kernel: "
        f"{here} (it was built with {config.get('CONFIG_RUSTC_VERSION_TEXT', 'no Rust')}; "
        f"the build root has {rustc})",
        "`make clean-cache` for a build root with the archive's present compiler, or choose "
        "another kernel with KERNEL=",
    )
