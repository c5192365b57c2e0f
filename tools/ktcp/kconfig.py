# SPDX-License-Identifier: GPL-2.0
"""Configurations of a kernel: `.config`, read and compared."""

from __future__ import annotations

import difflib
from pathlib import Path


def read(config: Path) -> dict[str, str]:
    """The options of a `.config` that are set, with their values."""
    pairs = (line.split("=", 1) for line in config.read_text().splitlines() if "=" in line)
    return {name: value.strip('"') for name, value in pairs if name.startswith("CONFIG_")}


def compare(theirs: str, ours: str) -> str:
    """The lines in which two configurations differ, or nothing if they mean the same.

    The revision of the C compiler's package stands in the configuration as well. It differs
    after each security update of the compiler, and changes nothing else.
    """

    def lines(text: str) -> list[str]:
        return [
            line
            for line in text.splitlines()
            if line and not line.startswith(("# Linux/", "CONFIG_CC_VERSION_TEXT"))
        ]

    # By hand: the kernel's scripts/diffconfig would need the same filter, and its tests a source.
    difference = difflib.unified_diff(lines(theirs), lines(ours), n=0, lineterm="")
    return "\n".join(line for line in list(difference)[2:] if not line.startswith("@@"))
