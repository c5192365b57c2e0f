# SPDX-License-Identifier: GPL-2.0
"""The control channel against a guest that is played here."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from ktcp import control


class Guest:
    """The guest's end of the channel."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._lines = connection.makefile("rb")

    def request(self) -> tuple[int, int, str]:
        number, seconds, length = map(int, self._lines.readline().split())
        return number, seconds, self._lines.read(length).decode()

    def answer(self, number: int, status: int, output: bytes) -> None:
        self.connection.sendall(b"%d %d %d\n%s" % (number, status, len(output), output))

    def close(self) -> None:
        self._lines.close()
        self.connection.close()


@pytest.fixture
def ends() -> Iterator[tuple[control.Channel, Guest]]:
    ours, theirs = socket.socketpair()
    channel, guest = control.Channel(ours), Guest(theirs)
    yield channel, guest
    guest.close()
    channel.close()


def test_request_and_answer_are_transferred_unchanged(ends: tuple[control.Channel, Guest]) -> None:
    channel, guest = ends
    said = "echo 'a  b'\t%s \\n \\0101 \\\\c é\nexit 3"
    command = channel.start(said, 7)
    number, seconds, text = guest.request()
    assert (seconds, text) == (7, said)
    assert not command.is_done()
    guest.answer(number, 3, bytes(range(256)) * 9)
    assert command.wait() == control.Outcome(3, bytes(range(256)) * 9)
    assert command.is_done()


def test_answers_reach_their_commands_in_any_order(ends: tuple[control.Channel, Guest]) -> None:
    channel, guest = ends
    commands = [channel.start(str(number), 5) for number in range(5)]
    requests = [guest.request() for _ in commands]
    for number, _, text in reversed(requests):
        guest.answer(number, 0, text.encode())
    assert [command.wait().output for command in commands] == ["0", "1", "2", "3", "4"]


def test_output_that_is_no_text_has_replacement_characters(
    ends: tuple[control.Channel, Guest],
) -> None:
    channel, guest = ends
    command = channel.start("true", 5)
    guest.answer(guest.request()[0], 0, b"\xff\xfe")
    assert command.wait().output == "\ufffd\ufffd"


def test_silence_of_the_guest_fails_the_command(
    ends: tuple[control.Channel, Guest], monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, _ = ends
    monkeypatch.setattr(control, "GRACE_SECONDS", 0.1)
    with pytest.raises(control.Lost, match="did not answer within 0.1 s to `sleep 1`"):
        channel.start("sleep 1", 0.1).wait()


def test_late_answer_is_ignored(
    ends: tuple[control.Channel, Guest], monkeypatch: pytest.MonkeyPatch
) -> None:
    channel, guest = ends
    monkeypatch.setattr(control, "GRACE_SECONDS", 0.1)
    late = channel.start("late", 0.1)
    with pytest.raises(control.Lost):
        late.wait()
    guest.answer(guest.request()[0], 0, b"late")
    monkeypatch.setattr(control, "GRACE_SECONDS", 5)
    command = channel.start("next", 5)
    guest.answer(guest.request()[0], 0, b"next")
    assert command.wait().output == "next"


@pytest.mark.parametrize("last_words", [b"", b"0", b"0 0 3\nab", b"garbage\n", b"0 0 -1\nabc"])
def test_death_of_the_guest_fails_its_commands(
    ends: tuple[control.Channel, Guest], last_words: bytes
) -> None:
    channel, guest = ends
    command = channel.start("true", 30)
    guest.connection.sendall(last_words)
    guest.close()
    with pytest.raises(control.Lost, match="the guest ended during `true`"):
        command.wait()
    with pytest.raises(control.Lost, match="the guest has ended"):
        channel.start("true", 30)


def test_guest_that_reads_nothing_does_not_block_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(control, "GRACE_SECONDS", 1)
    ours, theirs = socket.socketpair()
    channel = control.Channel(ours)
    with theirs, pytest.raises(control.Lost):
        for _ in range(100):
            channel.start("x" * 100_000, 1)
    channel.close()
