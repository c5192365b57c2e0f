# SPDX-License-Identifier: GPL-2.0
"""The crates of a kernel's build that run in the compiler, made once for all builds of a version."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from . import cache, ui
from .kernel import Kernel


def lend(
    lender: Kernel, source: Path, build: Path, make: Sequence[str], progress: ui.Progress
) -> None:
    """Copies the crates that run in the compiler (syn and its dependencies) into another build of the same
    version: they do not depend on the configuration.

    `make` is the command for that build, which is configured and has not begun.
    """
    theirs, host = lender.build / "rust/host", build / "rust/host"
    # Older kernels have no such crates.
    if host.exists() or not theirs.exists():
        return
    # make goes by time: the files that stand for the options have to be older.
    ui.run_logged([*make, "syncconfig"], cache.log("syncconfig"), progress, cwd=source)
    host.mkdir(parents=True)
    for path in sorted(theirs.iterdir(), key=lambda path: path.stat().st_mtime):
        copied = Path(shutil.copyfile(path, host / path.name))
        # It compares the commands, too, which it keeps in files of its own.
        if path.suffix == ".cmd":
            kept = path.read_text().replace(str(lender.build), str(build))
            copied.write_text(kept.replace(str(lender.source), str(source)))
