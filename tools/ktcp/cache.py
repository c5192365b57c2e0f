# SPDX-License-Identifier: GPL-2.0
"""Directories that are made once, and are either complete or thrown away.

A directory counts only with a completion stamp that holds the key of everything that it depends
on. The stamp is the last thing written, so that whatever ends a run early (Ctrl-C, an error, a
power cut) leaves a directory that the next run does not mistake for a finished one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import ui

STAMP = ".complete"
UNUSED_DAYS = 14


def root() -> Path:
    """The cache folder, shared by every checkout of this user."""
    value = os.environ.get("KTCP_CACHE")
    if not value:
        raise ui.Fail(
            "KTCP_CACHE is not set", "start the tools through `make` or `tools/buildroot`"
        )
    return Path(value)


def log(name: str) -> Path:
    """Returns the log file of the step `name`, outside the stamped directories, which it outlives."""
    return root() / "log" / f"{name}.log"


def check_disk(needed_gib: int) -> None:
    """Raises `Fail` unless there is that much room for a kernel."""
    free = shutil.disk_usage(root()).free
    if free < needed_gib << 30:
        raise ui.Fail(
            f"only {free >> 20} MiB are free in {root()}, and a kernel needs "
            f"{needed_gib << 10} MiB",
            "free some space, or set KTCP_CACHE= to a folder on a larger disk",
        )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file `path`, so that two runs at once take turns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            ui.note(f"another run is busy with {path.name}: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_complete(directory: Path, key: str) -> bool:
    try:
        return (directory / STAMP).read_text() == key
    except (FileNotFoundError, NotADirectoryError):
        return False


def wipe(path: Path) -> None:
    """Removes `path`, a file or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        # The stamp goes first: a removal cut short must not leave a stamped ruin.
        (path / STAMP).unlink(missing_ok=True)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write_stamp(directory: Path, key: str) -> None:
    # Everything that the stamp vouches for has to be on the disk before it.
    os.sync()
    fresh = directory / f"{STAMP}.new"
    with fresh.open("w") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(directory / STAMP)
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _lock_of(directory: Path) -> Path:
    return root() / "locks" / os.path.relpath(directory, root()).replace("/", "-")


def _remove(directory: Path) -> None:
    wipe(directory)
    # The folder above may have been made for this one alone.
    with contextlib.suppress(OSError):
        directory.parent.rmdir()


@contextmanager
def once(directory: Path, key: str) -> Iterator[bool]:
    """Guards the making of `directory`: yields whether its content has to be made.

    ```
    with cache.once(directory, key) as needed:
        if needed:
            ...  # fill the directory, which is there and empty
    ```

    The stamp is written when the block ends without an exception; otherwise the directory is
    removed again.
    """
    with locked(_lock_of(directory)):
        if is_complete(directory, key):
            # Its age tells when it was used last.
            os.utime(directory / STAMP)
            yield False
            return
        wipe(directory)
        directory.mkdir(parents=True)
        try:
            yield True
        except BaseException:
            _remove(directory)
            raise
        _write_stamp(directory, key)


def prune() -> None:
    """Removes directories that were not used for a while: the archive has a new kernel every few days."""
    oldest = time.time() - UNUSED_DAYS * 24 * 3600
    for stamp in [*root().glob(f"*/*/{STAMP}"), *root().glob(f"*/*/*/{STAMP}")]:
        # The build roots look after themselves.
        if stamp.is_relative_to(root() / "roots") or stamp.stat().st_mtime > oldest:
            continue
        with locked(_lock_of(stamp.parent)):
            _remove(stamp.parent)
