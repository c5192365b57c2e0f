# SPDX-License-Identifier: GPL-2.0
"""Machines other than this one, as far as scripts can see."""

from __future__ import annotations

import shutil

# That of root after a plain `su`, which leaves it as it was
USERS_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/games:/usr/games"


def without(tool: str) -> tuple[str, ...]:
    """The beginning of a command line that runs the rest of it on a machine without this tool."""
    place = shutil.which(tool)
    assert place is not None
    # Its folder is another one, with links to all programs but this one.
    script = """
        set -e
        folder=$(dirname "$0")
        mount -t tmpfs tmpfs /mnt
        mkdir /mnt/all /mnt/most
        mount --bind "$folder" /mnt/all
        ln -s /mnt/all/* /mnt/most
        rm "/mnt/most/$(basename "$0")"
        mount --bind /mnt/most "$folder"
        exec "$@"
    """
    return ("unshare", "--mount", "sh", "-c", script, place)
