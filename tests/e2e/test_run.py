# SPDX-License-Identifier: GPL-2.0
"""`make run` as a whole, with and without a person at the terminal."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ktcp import conversation, wires
from .lab import Lab, eventually
from .pseudo import CTRL_C, CTRL_D, Terminal

COMMAND = [sys.executable, "-m", "ktcp", "run"]
READY_SECONDS = 60


@pytest.fixture
def port(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A free port for `make run`; the laboratory has built what it needs."""
    number = wires.free_port()
    monkeypatch.setenv("PORT", str(number))
    yield number


def virtual_machines(port: int) -> list[int]:
    """The processes of QEMU that forward that port."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it has just ended
        if f"hostfwd=tcp:{wires.LOCALHOST}:{port}-".encode() in command:
            found.append(int(folder.name))
    return found


def test_conversation_is_held_without_a_terminal(port: int) -> None:
    result = subprocess.run(COMMAND, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("came back") == 4
    assert f"kecho answers at 127.0.0.1:{port}" in result.stderr
    assert "unloaded kecho and ktcp_server" in result.stderr
    assert not virtual_machines(port)


@pytest.mark.parametrize("last", [CTRL_C, CTRL_D, f"half a line{CTRL_C}"], ids=repr)
def test_lines_typed_at_a_terminal_come_back(port: int, last: str) -> None:
    with Terminal(COMMAND) as terminal:
        shown = terminal.expect("Ctrl-C or Ctrl-D ends\r\n\r\n", READY_SECONDS)
        assert f"telnet 127.0.0.1 {port}" in shown
        assert "kecho: listening on 0.0.0.0:12345" in shown
        terminal.type("Grüße, kernel\n")
        # Once as the terminal shows what is typed, and once as the echo.
        terminal.expect("Grüße, kernel\r\nGrüße, kernel\r\n", 10)
        with conversation.connect(("127.0.0.1", port)) as other:
            other.sendall(b"me too")
            assert conversation.receive(other, 6) == b"me too"
        terminal.type(last)
        status, shown = terminal.wait(30)
    assert status == 0
    assert "unloaded kecho and ktcp_server, powered the guest off" in shown
    assert "Traceback" not in shown
    assert not virtual_machines(port)


def test_ctrl_c_while_the_guest_starts_ends_it(port: int) -> None:
    with Terminal(COMMAND) as terminal:
        terminal.expect("boot Linux", READY_SECONDS)
        assert eventually(lambda: virtual_machines(port))
        terminal.type(CTRL_C)
        status, shown = terminal.wait(20)
    assert status == 130
    assert "Traceback" not in shown
    assert not virtual_machines(port)


def test_no_virtual_machine_outlives_a_killed_run(port: int) -> None:
    with Terminal(COMMAND) as terminal:
        terminal.expect("boot Linux", READY_SECONDS)
        assert eventually(lambda: virtual_machines(port))
        terminal.process.kill()
        assert eventually(lambda: not virtual_machines(port))


def test_port_in_use_is_refused(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        started = time.monotonic()
        result = subprocess.run(COMMAND, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert result.returncode == 1
    assert f"error: port {port} of 127.0.0.1 is in use" in result.stderr
    assert f"make run PORT={port + 1}" in result.stderr
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("wrong", ["0", "65536", "http", "-1"])
def test_impossible_port_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("PORT", wrong)
    result = subprocess.run(COMMAND, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert result.returncode == 1
    assert result.stderr.startswith(f"error: PORT={wrong} is no TCP port")
