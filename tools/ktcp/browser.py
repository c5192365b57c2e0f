# SPDX-License-Identifier: GPL-2.0
"""A browser in the build root, for the tests of pages; installed when they first run."""

from __future__ import annotations

import shutil
from pathlib import Path

from . import cache, ui

PROGRAM = "chromium"
# Beside it, letters: pictures without them show boxes.
PACKAGES = (PROGRAM, "fonts-dejavu-core")

FLAGS = (
    "--headless",
    # The build root belongs to root, as which its sandbox does not run.
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    # Nothing but the page that is asked for
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def command(profile: Path, *arguments: str) -> list[str]:
    """The command that runs the browser without a window; `profile` is empty, or was its own."""
    return [PROGRAM, *FLAGS, f"--user-data-dir={profile}", *arguments]


def _apt(progress: ui.Progress, *arguments: str) -> None:
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", *arguments]
    ui.run_logged(apt, cache.log("browser"), progress)


def install() -> None:
    """Installs the browser into the build root, unless it is there. 300 MB, once."""
    with cache.locked(cache.root() / "locks" / "browser"):
        if shutil.which(PROGRAM):
            return
        with ui.Progress(f"install {PROGRAM} into the build root, once") as progress:
            try:
                _apt(progress, "update")
                _apt(progress, "install", "--yes", "--no-install-recommends", *PACKAGES)
            except ui.Fail as failure:
                raise ui.Fail(
                    f"{PROGRAM} cannot be installed into the build root: {failure.message}",
                    f"check the network and the mirror (log: {cache.log('browser')})",
                ) from failure
