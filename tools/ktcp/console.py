# SPDX-License-Identifier: GPL-2.0
"""The console of a guest: a log file, and the kernel's complaints in it."""

from __future__ import annotations

import fcntl
import io
import itertools
from pathlib import Path

from . import cache, splat, ui

TAIL_LINES = 25


def _claim_log(name: str) -> io.FileIO:
    """An empty log file of that name, locked while it is open: guests at one time never share."""
    for number in itertools.count(1):
        path = cache.log(f"guest-{name}" if number == 1 else f"guest-{name}-{number}")
        path.parent.mkdir(parents=True, exist_ok=True)
        file = io.FileIO(path, "ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        file.truncate(0)
        return file
    raise AssertionError("unreachable")


def indented(text: str) -> str:
    """Text as it stands below a message."""
    return "\n".join(f"    {line}" for line in text.splitlines())


class Console:
    """An open log file, which is this guest's alone; a context manager."""

    def __init__(self, name: str) -> None:
        self._file = _claim_log(name)
        self._lacks_memory = False

    def __enter__(self) -> Console:
        return self

    def __exit__(self, *_error: object) -> None:
        self._file.close()

    def fileno(self) -> int:
        return self._file.fileno()

    @property
    def path(self) -> Path:
        return Path(str(self._file.name))

    def text(self) -> str:
        return self.path.read_bytes().decode(errors="replace").replace("\r", "")

    def expect_shortages(self) -> None:
        """Takes failed allocations for no complaint from now on."""
        self.check()
        self._lacks_memory = True

    def complaint(self) -> str:
        """Returns the first complaint of the kernel, or nothing."""
        text = self.text()
        return splat.find(splat.without_shortages(text) if self._lacks_memory else text)

    def check(self) -> None:
        """Raises `Fail` if the kernel complained about anything since it started."""
        if found := self.complaint():
            raise ui.Fail(f"the guest's kernel complains:\n{indented(found)}", self.where())

    def where(self) -> str:
        return f"the whole console is in {self.path}"

    def failure(self, message: str) -> ui.Fail:
        """A `Fail` that shows why: the first complaint of the kernel, or else its last words."""
        tail = self.complaint() or "\n".join(self.text().splitlines()[-TAIL_LINES:])
        return ui.Fail(f"{message}; its console:\n{indented(tail)}", self.where())
