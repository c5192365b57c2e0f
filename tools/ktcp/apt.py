# SPDX-License-Identifier: GPL-2.0
"""The package index and the packages, through the apt of the build root.

By its commands: python3-apt would save some twenty lines of this and of index.py, is three more packages
to install before anything is built, and takes longer to open its cache than both commands of `versions`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import time
from pathlib import Path

from . import cache, cli, index, ui

# In the build root, for the index is its own.
UPDATED = Path("/var/lib/apt/ktcp-updated")
MAX_AGE_SECONDS = 24 * 3600

PACKAGES = re.compile(r"linux-(source|headers|base|binary|image|modules)-.*")


class NoIndex(ui.Fail):
    """There is no package index, and none can be fetched."""


def _is_fresh() -> bool:
    try:
        return 0 <= time.time() - UPDATED.stat().st_mtime < MAX_AGE_SECONDS
    except FileNotFoundError:
        return False


def update() -> None:
    """Fetches the package index; raises `NoIndex` if that fails and there is no older one."""
    with cache.locked(cache.root() / "locks/package-index"):
        try:
            with ui.Progress("refresh the package index") as progress:
                ui.run_logged(
                    ["apt-get", "-q", "-o", "APT::Update::Error-Mode=any", "update"],
                    cache.log("apt-update"),
                    progress,
                )
        except ui.Fail as failure:
            if UPDATED.exists():
                ui.note("the mirror does not answer: going on with the package index of last time")
                return
            raise NoIndex(
                "the mirror does not answer, and there is no package index from before",
                f"check the network, then run again (log: {cache.log('apt-update')})",
            ) from failure
        UPDATED.touch()


def versions() -> dict[str, set[str]]:
    """The versions of every package of a kernel, from an index that is not older than a day."""
    if not _is_fresh():
        update()
    names = subprocess.run(
        ["apt-cache", "pkgnames", "linux-"], check=True, capture_output=True, text=True
    ).stdout.split()
    wanted = sorted(name for name in names if PACKAGES.fullmatch(name))
    if not wanted:
        return {}
    madison = subprocess.run(
        ["apt-cache", "madison", *wanted], check=True, capture_output=True, text=True
    )
    return index.parse_madison(madison.stdout)


def _size(packages: list[str], folder: Path) -> int:
    """Returns the number of bytes to fetch."""
    result = subprocess.run(
        ["apt-get", "-qq", "--print-uris", "download", *packages],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return sum(int(line.split()[2]) for line in result.stdout.splitlines() if line.startswith("'"))


def _mebibytes(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*.deb*"):
        # apt renames a file when it is whole.
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            pass
    return total >> 20


def unpack(packages: list[str], version: str, into: Path, progress: ui.Progress) -> None:
    """Fetches the packages in exactly that version and unpacks them into the folder `into`."""
    into.mkdir(exist_ok=True)
    debs = into / "debs"
    debs.mkdir()
    exact = [f"{package}={version}" for package in packages]
    total = _size(exact, debs) >> 20
    progress.detail(lambda: f"{_mebibytes(debs)} of {total} MiB")
    try:
        ui.run_logged(["apt-get", "-q", "download", *exact], cache.log("download"), cwd=debs)
    except ui.Fail as failure:
        raise ui.Fail(
            f"the packages {', '.join(exact)} cannot be fetched",
            "check the network; if the archive has a newer version by now, `make update` and run "
            f"again (log: {cache.log('download')})",
        ) from failure
    progress.detail("unpacking")
    for deb in sorted(debs.glob("*.deb")):
        subprocess.run(["dpkg-deb", "-x", str(deb), str(into)], check=True)
        deb.unlink()
    debs.rmdir()


# --- The command line ---


def _update_command(_arguments: argparse.Namespace) -> int:
    update()
    return 0


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser("update", help="refresh the package index")
    command.set_defaults(call=_update_command)
