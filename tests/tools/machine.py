# SPDX-License-Identifier: GPL-2.0
"""Machines other than this one, as far as scripts can see."""

from __future__ import annotations

import shutil
from pathlib import Path

# That of root after a plain `su`, which leaves it as it was
USERS_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"


SHELL = Path(__file__).parent / "shell"


def apart(name: str, *arguments: str) -> tuple[str, ...]:
    """The beginning of a command line: the program NAME.sh of the folder `shell/`, with mounts of its own."""
    return ("unshare", "--mount", str(SHELL / f"{name}.sh"), *arguments)


def without(tool: str) -> tuple[str, ...]:
    """The beginning of a command line that runs the rest of it on a machine without this tool."""
    place = shutil.which(tool)
    assert place is not None
    return apart("without", place)
