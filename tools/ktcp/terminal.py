# SPDX-License-Identifier: GPL-2.0
"""A connection between the user at the terminal and kecho.

By termios: libraries that draw, such as python3-rich, leave the keyboard alone.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import socket
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from . import conversation, ui, vm
from .conversation import Address

CTRL_C = b"\x03"

# Seconds that a line of the kernel's log may wait before it is shown.
LOG_SECONDS = 0.2
# Lines of our modules; those that the kernel prints about every out-of-tree module are left out.
OUR_LOG = re.compile(r"\b(?:kecho|ktcp_server): (?!.*\btaint)")


@contextmanager
def ctrl_c_as_input(fd: int) -> Iterator[None]:
    """Makes Ctrl-C a character that ends a line, instead of a signal.

    The signal would reach `make` too, which then ends with an error although the person did just
    what they were told to do. Line editing and the other keys stay as they are.
    """
    before = termios.tcgetattr(fd)
    inside = termios.tcgetattr(fd)
    inside[6][termios.VINTR] = bytes([os.fpathconf(fd, "PC_VDISABLE") & 0xFF])
    inside[6][termios.VEOL] = CTRL_C

    def set_again(number: int, frame: FrameType | None) -> None:
        # Back from Ctrl-Z: the shell has put its own settings in place.
        termios.tcsetattr(fd, termios.TCSANOW, inside)

    previous = signal.signal(signal.SIGCONT, set_again)
    try:
        termios.tcsetattr(fd, termios.TCSANOW, inside)
        yield
    finally:
        signal.signal(signal.SIGCONT, previous)
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


class Log:
    """The lines of our modules in the kernel's log, as they appear."""

    def __init__(self, guest: vm.Guest) -> None:
        self._guest = guest
        self._seen = 0

    def show(self) -> None:
        new = self._guest.console()[self._seen :]
        whole, newline, _ = new.rpartition("\n")
        self._seen += len(whole) + len(newline)
        for line in whole.splitlines():
            if OUR_LOG.search(line):
                ui.say(ui.colour("2", line))


def _read(fd: int) -> tuple[bytes, bool]:
    """Reads the typed bytes, and whether the user is done."""
    try:
        typed = os.read(fd, 4096)
    except OSError:
        return b"", True  # the terminal is gone
    before, key, _ = typed.partition(CTRL_C)
    return before, bool(key) or not typed


def _hold(log: Log, connection: socket.socket, keyboard: int) -> None:
    with selectors.DefaultSelector() as selector:
        selector.register(keyboard, selectors.EVENT_READ)
        selector.register(connection, selectors.EVENT_READ)
        while True:
            ready = [key.fd for key, _ in selector.select(LOG_SECONDS)]
            log.show()
            if connection.fileno() in ready:
                echo = connection.recv(conversation.CHUNK)
                if not echo:
                    raise ConnectionError("it was closed")
                sys.stdout.buffer.write(echo)
                sys.stdout.buffer.flush()
            if keyboard in ready:
                typed, done = _read(keyboard)
                if done:
                    return
                connection.sendall(typed)


def converse(guest: vm.Guest, address: Address) -> None:
    """Sends the typed lines and shows the echoes, until Ctrl-C or Ctrl-D."""
    keyboard = sys.stdin.fileno()
    log = Log(guest)
    with ctrl_c_as_input(keyboard), conversation.connect(address) as connection:
        log.show()
        ui.say(f"\n  in another terminal:  telnet {address[0]} {address[1]}")
        ui.say("  or type right here:   every line comes back; Ctrl-C or Ctrl-D ends\n")
        try:
            _hold(log, connection, keyboard)
        except OSError as error:
            guest.must("true")  # says why if the guest is no more
            raise ui.Fail(
                f"the connection to kecho broke off: {error}",
                f"the kernel may say more in {guest.log}",
            ) from error
    ui.say("")
