# SPDX-License-Identifier: GPL-2.0
"""The conversation against servers that echo, and against servers that only seem to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ktcp import conversation, ui
from ktcp.conversation import Address

Reply = Callable[[int, bytes], bytes]


@contextmanager
def server(reply: Reply) -> Iterator[Address]:
    """A server that answers the bytes at some offset of a connection with those of `reply`."""
    with socket.create_server((host := "127.0.0.1", 0)) as listener:

        def serve(connection: socket.socket) -> None:
            offset = 0
            with connection:
                while data := connection.recv(10_000):
                    connection.sendall(reply(offset, data))
                    offset += len(data)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=[connection], daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield host, listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def echo(offset: int, data: bytes) -> bytes:
    return data


def stops_at_nul(offset: int, data: bytes) -> bytes:
    return data.split(b"\0")[0]


def flips_one_bit(offset: int, data: bytes) -> bytes:
    at = 5_000_000 - offset
    if not 0 <= at < len(data):
        return data
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def adds_a_byte(offset: int, data: bytes) -> bytes:
    return data + b"\0"


def loses_the_last(offset: int, data: bytes) -> bytes:
    return data[:-1]


def test_true_echo_passes() -> None:
    with server(echo) as address:
        assert conversation.answers(address, 5)
        parts = conversation.hold(address)
    assert [part.size for part in parts] == [len(conversation.TEXT), 256, 1, conversation.BULK]
    assert conversation.summary(parts).count("came back") == 4


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        (stops_at_nul, "every byte value: 0 bytes came back for the 256"),
        (flips_one_bit, "random bytes, by SHA-256: byte 5000000 of 8388608 came back as 0x"),
        (adds_a_byte, "a line of text, by nc: .* bytes came back for the"),
        (loses_the_last, "a line of text, by nc: .* bytes came back for the"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_false_echo_is_named_with_its_part(reply: Reply, complaint: str) -> None:
    with server(reply) as address, pytest.raises(ui.Fail, match=complaint):
        conversation.hold(address)


def test_server_that_does_not_answer_is_noticed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address: Address = ("127.0.0.1", mute.getsockname()[1])
        assert not conversation.answers(address, 0.2)
    assert not conversation.answers(address, 0.2)


def test_client_program_that_fails_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ui.Fail, match="`false` failed with status 1"):
        conversation.exchange_through(["false"], b"")
    with pytest.raises(ui.Fail, match="the client `no-such-client` is missing"):
        conversation.exchange_through(["no-such-client"], b"")
    monkeypatch.setattr(conversation, "CLIENT_SECONDS", 0.2)
    with pytest.raises(ui.Fail, match="did not end within 0.2 s, after 0 of 1 bytes"):
        conversation.exchange_through(["sleep", "10"], b"x")
