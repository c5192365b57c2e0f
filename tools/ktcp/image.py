# SPDX-License-Identifier: GPL-2.0
"""A kernel's image, which unpacks itself."""

from __future__ import annotations

import subprocess
from pathlib import Path


def unpacked(image: Path, source: Path) -> bytes | None:
    """The ELF file in an image, found by a script of the kernel `source`; None if it finds none."""
    command = [source / "scripts/extract-vmlinux", image]
    result = subprocess.run(command, check=False, capture_output=True)
    return result.stdout if result.returncode == 0 else None
