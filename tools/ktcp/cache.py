# SPDX-License-Identifier: GPL-2.0
"""Work that is done once: directories that are either complete or thrown away.

A directory counts only with a completion stamp that holds the key of everything that it depends
on. The stamp is the last thing written, so that whatever ends a run early (Ctrl-C, an error, a
power cut) leaves a directory that the next run does not mistake for a finished one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import ui

STAMP = ".complete"


def root() -> Path:
    """The cache folder, shared by every checkout of this user."""
    value = os.environ.get("KTCP_CACHE")
    if not value:
        raise ui.Fail(
            "KTCP_CACHE is not set", "start the tools through `make` or `tools/buildroot`"
        )
    return Path(value)


def log(name: str) -> Path:
    """Where the output of the step `name` goes; outside the stamped directories, to outlive them."""
    return root() / "log" / f"{name}.log"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock file `path`, so that two runs at once take turns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            ui.note(f"another run is busy with {path.stem.lstrip('.')}: waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def is_complete(directory: Path, key: str) -> bool:
    try:
        return (directory / STAMP).read_text() == key
    except (FileNotFoundError, NotADirectoryError):
        return False


def wipe(path: Path) -> None:
    """Removes `path`, whatever it is, if it is there."""
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
    with locked(directory.with_name(f".{directory.name}.lock")):
        if is_complete(directory, key):
            yield False
            return
        wipe(directory)
        directory.mkdir(parents=True)
        try:
            yield True
        except BaseException:
            wipe(directory)
            raise
        _write_stamp(directory, key)
