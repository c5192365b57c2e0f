# SPDX-License-Identifier: GPL-2.0
"""Commands that run in the guest; the host's end of the protocol of tools/guest/agent.c.

A request is the line `ID SECONDS LENGTH` and a shell command of LENGTH bytes. The answer is the line
`ID STATUS LENGTH` and LENGTH bytes: what the command has printed. Any number of commands may be under
way at once. A guest that dies or falls silent ends every wait with `Lost`, never with a hang.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import dataclass

# Beyond the command's own limit, which the guest enforces: time for the answer to arrive.
GRACE_SECONDS = 5.0

# The status of a command that the guest had to kill: 128 and SIGKILL.
KILLED = 137


class Lost(Exception):
    """The guest did not answer, or is no more."""


@dataclass(frozen=True)
class Outcome:
    """The end of a command: its exit status, and its output to both streams."""

    status: int
    raw: bytes

    @property
    def output(self) -> str:
        return self.raw.decode(errors="replace")


class Command:
    """A command that was sent to the guest."""

    def __init__(self, text: str, timeout: float) -> None:
        self.text = text
        self.timeout = timeout
        self._deadline = time.monotonic() + timeout + GRACE_SECONDS
        self._ended = threading.Event()
        self._outcome: Outcome | None = None

    def finish(self, outcome: Outcome | None) -> None:
        """Called by the channel: the answer is here, or (None) will never come."""
        self._outcome = outcome
        self._ended.set()

    def is_done(self) -> bool:
        return self._ended.is_set()

    def wait(self) -> Outcome:
        if not self._ended.wait(max(0.0, self._deadline - time.monotonic())):
            raise Lost(f"the guest did not answer within {self.timeout:g} s to `{self.text}`")
        if self._outcome is None:
            raise Lost(f"the guest ended during `{self.text}`")
        return self._outcome


class Channel:
    """The connected socket whose other end is the guest's virtio-serial port."""

    def __init__(self, connection: socket.socket) -> None:
        # A guest that hangs does not read: sending must not wait for it for ever.
        limit = struct.pack("ll", int(GRACE_SECONDS), 0)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._connection = connection
        self._lock = threading.Lock()
        self._next = 0
        self._closed = False
        self._waiting: dict[int, Command] = {}
        self._reader = threading.Thread(target=self._read, name="control", daemon=True)
        self._reader.start()

    def start(self, text: str, timeout: float) -> Command:
        """Sends a command for the guest's shell; the guest kills it after `timeout` seconds."""
        command = Command(text, timeout)
        with self._lock:
            if self._closed:
                raise Lost(f"the guest has ended: `{text}` cannot run")
            number = self._next
            content = text.encode()
            request = b"%d %d %d\n%s" % (number, max(1, round(timeout)), len(content), content)
            self._next += 1
            self._waiting[number] = command
            try:
                self._connection.sendall(request)
            except OSError as error:
                raise Lost(f"the guest has ended: `{text}` cannot run") from error
        return command

    def close(self) -> None:
        try:
            self._connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other end was faster
        self._reader.join()
        self._connection.close()

    def _read(self) -> None:
        try:
            with self._connection.makefile("rb") as lines:
                while head := lines.readline():
                    number, status, length = map(int, head.split())
                    output = lines.read(length)
                    if len(output) == length:
                        self._finish(number, Outcome(status, output))
        except (OSError, ValueError):
            pass  # a guest that crashed in the middle of an answer is a guest that has ended
        finally:
            self._abandon()

    def _finish(self, number: int, outcome: Outcome) -> None:
        with self._lock:
            command = self._waiting.pop(number, None)
        if command is not None:
            command.finish(outcome)

    def _abandon(self) -> None:
        with self._lock:
            self._closed = True
            waiting = list(self._waiting.values())
            self._waiting.clear()
        for command in waiting:
            command.finish(None)
