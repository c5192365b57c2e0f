# SPDX-License-Identifier: GPL-2.0
"""A program at a pseudo-terminal, and a person who waits for what it shows and types."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Sequence
from types import TracebackType

CTRL_C = "\x03"
CTRL_D = "\x04"


class Terminal:
    """Runs a command at a terminal of its own; a context manager that leaves nothing running."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._unread = b""

    def __enter__(self) -> Terminal:
        self._fd, inside = os.openpty()
        # It becomes the controlling terminal, so that its keys send signals; and these are heard
        # even where the tests run in the background, with Ctrl-C ignored.
        command = ["env", "--default-signal=INT", "setsid", "--ctty", *self._command]
        try:
            self.process = subprocess.Popen(command, stdin=inside, stdout=inside, stderr=inside)
        finally:
            os.close(inside)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def expect(self, text: str, seconds: float) -> str:
        """Waits until `text` is shown, and returns what was shown up to its end."""
        wanted = text.encode()
        deadline = time.monotonic() + seconds
        while wanted not in self._unread:
            if not self._read(deadline):
                raise AssertionError(f"{text!r} was not shown; shown was {self._unread!r}")
        before, _, self._unread = self._unread.partition(wanted)
        return (before + wanted).decode(errors="replace")

    def wait(self, seconds: float) -> tuple[int, str]:
        """Waits for the program's end; its exit status, and what was shown until then."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass
        try:
            status = self.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"it did not end; shown was {self._unread!r}") from error
        return status, self._unread.decode(errors="replace")

    def _read(self, deadline: float) -> bool:
        """Takes what the terminal shows; false at its end and at the deadline."""
        ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            shown = os.read(self._fd, 65536)
        except OSError:
            return False  # the last program at this terminal has ended
        self._unread += shown
        return bool(shown)
