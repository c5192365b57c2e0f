# SPDX-License-Identifier: GPL-2.0
"""Conversations with an echo server that prove that every byte comes back."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from . import ui

Address = tuple[str, int]

# A wait for the server's next bytes, not for a whole conversation.
SILENCE_SECONDS = 30.0
CLIENT_SECONDS = 30.0
CHUNK = 1 << 16

TEXT = "The quick brown fox jumps over the lazy dog: Grüße aus dem Kern.\n".encode()
EVERY_VALUE = bytes(range(256))
BULK = 8 << 20


@dataclass(frozen=True)
class Part:
    """One part of the conversation that went well."""

    title: str
    size: int
    seconds: float


def connect(address: Address) -> socket.socket:
    connection = socket.create_connection(address, SILENCE_SECONDS)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def receive(connection: socket.socket, size: int) -> bytes:
    """Up to `size` bytes, fewer only if the server ends the connection before."""
    data = bytearray()
    while len(data) < size and (chunk := connection.recv(min(CHUNK, size - len(data)))):
        data += chunk
    return bytes(data)


def receive_until_end(connection: socket.socket) -> bytes:
    data = bytearray()
    while chunk := connection.recv(CHUNK):
        data += chunk
    return bytes(data)


def exchange(address: Address, payload: bytes) -> bytes:
    """Sends `payload`, then ends its own direction; returns all that came until the server's end.

    Sends while it receives: a server that is not read from stops reading, so a client that sends
    everything first would wait for ever.
    """
    with connect(address) as connection:

        def send() -> None:
            try:
                connection.sendall(payload)
                connection.shutdown(socket.SHUT_WR)
            except OSError:
                pass  # what is missing will be missing from what comes back

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        data = receive_until_end(connection)
        sender.join(SILENCE_SECONDS)
    return data


def exchange_through(command: list[str], payload: bytes) -> bytes:
    """Returns the output of a client program that has `payload` as its standard input."""
    try:
        return subprocess.run(
            command, input=payload, stdout=subprocess.PIPE, timeout=CLIENT_SECONDS, check=True
        ).stdout
    except FileNotFoundError as error:
        raise ui.Fail(
            f"the client `{command[0]}` is missing from the build root",
            "`make clean-cache` and run again: the build root is made anew",
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ui.Fail(
            f"`{' '.join(command)}` did not end within {CLIENT_SECONDS:g} s, "
            f"after {len(error.stdout or b'')} of {len(payload)} bytes"
        ) from error
    except subprocess.CalledProcessError as error:
        raise ui.Fail(f"`{' '.join(command)}` failed with status {error.returncode}") from error


def netcat(address: Address) -> list[str]:
    """The command line of nc; with -N it ends its direction at the end of its input."""
    return ["nc", "-N", address[0], str(address[1])]


def answers(address: Address, timeout: float) -> bool:
    """Returns true if a byte comes back; a connection alone proves nothing, as QEMU itself accepts it."""
    try:
        with socket.create_connection(address, timeout) as connection:
            connection.settimeout(timeout)
            connection.sendall(b"?")
            return connection.recv(1) == b"?"
    except OSError:
        return False


def _part(title: str, payload: bytes, talk: Callable[[bytes], bytes]) -> Part:
    started = time.monotonic()
    try:
        echo = talk(payload)
    except OSError as error:
        raise ui.Fail(f"{title}: the conversation broke off: {error}") from error
    if hashlib.sha256(echo).digest() != hashlib.sha256(payload).digest():
        raise ui.Fail(f"{title}: {difference(payload, echo)}")
    return Part(title, len(payload), time.monotonic() - started)


def difference(sent: bytes, received: bytes) -> str:
    """Says in one sentence where the echo differs from the bytes sent."""
    pairs = zip(sent, received)
    first = next((at for at, (one, other) in enumerate(pairs) if one != other), None)
    if first is not None:
        return (
            f"byte {first} of {len(sent)} came back as {received[first]:#04x} "
            f"instead of {sent[first]:#04x}"
        )
    return f"{len(received)} bytes came back for the {len(sent)} that were sent"


def hold(address: Address) -> list[Part]:
    """Holds the whole conversation; raises `Fail` at the first byte that is not as it was sent."""

    def direct(payload: bytes) -> bytes:
        return exchange(address, payload)

    def through_netcat(payload: bytes) -> bytes:
        return exchange_through(netcat(address), payload)

    return [
        _part("a line of text, by nc", TEXT, through_netcat),
        _part("every byte value", EVERY_VALUE, direct),
        _part("one byte", b"\0", direct),
        _part("random bytes, by SHA-256", os.urandom(BULK), direct),
    ]


def summary(parts: list[Part]) -> str:
    """A table with a line for each part."""
    width = max(len(part.title) for part in parts)
    return "\n".join(
        f"  {part.title:<{width}}  {part.size:>9,} bytes  {part.seconds:6.2f} s  came back"
        for part in parts
    )
