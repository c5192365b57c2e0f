# SPDX-License-Identifier: GPL-2.0
"""What clients see of kecho. Most of these are mistakes that earlier echo servers made."""

from __future__ import annotations

import os
import secrets
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from ktcp import conversation, vm
from ktcp.conversation import Address
from .lab import PORT, echoed, eventually, is_silent, open_connections, script, statistics
from .pseudo import Terminal

# Around the sizes of a page, of kecho's buffers, of loopback segments and of socket buffers.
BOUNDARIES = [
    size + delta
    for size in (1 << 8, 1460, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15, 1 << 16, 1 << 17)
    for delta in (-1, 0, 1)
]


def test_conversation_comes_back_as_it_was_said(kecho: Address) -> None:
    parts = conversation.hold(kecho)
    assert [part.size for part in parts] == [len(conversation.TEXT), 256, 1, 8 << 20]


@pytest.mark.parametrize(
    "command",
    [
        ["nc", "-N", "{host}", "{port}"],
        ["socat", "-t", "10", "-", "TCP:{host}:{port}"],
    ],
    ids=lambda command: command[0],
)
def test_text_of_client_programs_comes_back(kecho: Address, command: list[str]) -> None:
    words = [word.format(host=kecho[0], port=kecho[1]) for word in command]
    assert conversation.exchange_through(words, conversation.TEXT) == conversation.TEXT


def test_line_of_telnet_comes_back(kecho: Address) -> None:
    with Terminal(["telnet", kecho[0], str(kecho[1])]) as telnet:
        telnet.expect("Escape character is '^]'.\r\n", 10)
        telnet.type("hello, kernel\n")
        # Once as the terminal shows what is typed, and once as the echo.
        telnet.expect("hello, kernel\r\nhello, kernel\r\n", 10)
        telnet.type("\x1dquit\n")
        assert telnet.wait(10)[0] == 0


def test_sizes_around_boundaries_come_back(kecho: Address) -> None:
    with echoed(kecho) as connection:
        for size in [*range(1, 18), *BOUNDARIES]:
            payload = os.urandom(size)
            connection.sendall(payload)
            assert conversation.receive(connection, size) == payload, size
        assert is_silent(connection, 0.5)


def test_short_message_after_a_long_one_comes_back_alone(kecho: Address) -> None:
    with echoed(kecho) as connection:
        long = b"L" * 3000
        connection.sendall(long)
        assert conversation.receive(connection, len(long)) == long
        connection.sendall(b"abc")
        assert conversation.receive(connection, 3) == b"abc"
        assert is_silent(connection, 0.5)


def test_nul_bytes_come_back(kecho: Address) -> None:
    for payload in (b"\0", bytes(5000), b"\0before", b"in\0side", b"after\0", b"\0\n\0\r\n"):
        with echoed(kecho) as connection:
            connection.sendall(payload)
            assert conversation.receive(connection, len(payload)) == payload
            assert is_silent(connection, 0.1)


def test_nothing_comes_unasked(kecho: Address) -> None:
    with conversation.connect(kecho) as connection:
        assert is_silent(connection, 1.0)


def test_nothing_for_a_client_that_sends_nothing(kecho: Address) -> None:
    assert conversation.exchange(kecho, b"") == b""


def test_bytes_one_by_one_come_back(kecho: Address) -> None:
    with echoed(kecho) as connection:
        for value in range(256):
            connection.sendall(bytes([value]))
            assert conversation.receive(connection, 1) == bytes([value])


def test_half_closed_client_gets_everything_and_then_the_end(kecho: Address) -> None:
    payload = os.urandom(1 << 20)
    assert conversation.exchange(kecho, payload) == payload


def test_slow_reader_gets_everything(kecho: Address) -> None:
    payload = os.urandom(4 << 20)
    with echoed(kecho) as connection, ThreadPoolExecutor(1) as pool:
        sending = pool.submit(connection.sendall, payload)
        time.sleep(2)  # until no buffer on the way takes any more
        assert conversation.receive(connection, len(payload)) == payload
        sending.result()


def test_fifty_clients_at_once_get_what_is_theirs(kecho: Address) -> None:
    def converse(number: int, connection: socket.socket) -> bool:
        payload = number.to_bytes(2, "big") * 100 + os.urandom(60_000 + number)
        for piece in (payload[:7], payload[7:20_000], payload[20_000:]):
            connection.sendall(piece)
            if conversation.receive(connection, len(piece)) != piece:
                return False
        return True

    # One after the other: QEMU listens on the forwarded port with a backlog of 1, and a client
    # that finds it full tries again only after seconds.
    connections = [echoed(kecho) for _ in range(50)]
    with ThreadPoolExecutor(50) as pool:
        assert list(pool.map(converse, range(50), connections)) == [True] * 50
    for connection in connections:
        connection.close()


def test_closed_connections_are_freed_at_once(kecho: Address, guest: vm.Guest) -> None:
    for _ in range(100):
        echoed(kecho).close()
    assert eventually(lambda: open_connections(guest) == 0), statistics(guest)


def test_resets_in_mid_transfer_are_survived(kecho: Address, guest: vm.Guest) -> None:
    for _ in range(20):
        connection = echoed(kecho)
        connection.setblocking(False)
        try:
            connection.send(bytes(1 << 20))
        except BlockingIOError:
            pass
        # With these options close() sends a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    echoed(kecho).close()
    assert eventually(lambda: open_connections(guest) == 0), statistics(guest)


def test_nothing_that_clients_send_is_logged(kecho: Address, guest: vm.Guest) -> None:
    secret = secrets.token_hex(16).encode()
    assert conversation.exchange(kecho, b"\n" + secret + b"\n") == b"\n" + secret + b"\n"
    assert secret.decode() not in guest.dmesg()
    assert secret.decode() not in guest.console()


def test_three_megabytes_of_a_client_in_the_guest_come_back(
    kecho: Address, guest: vm.Guest
) -> None:
    guest.must("head -c 3000000 /dev/urandom >/tmp/sent")
    guest.must(f"nc 127.0.0.1 {PORT} </tmp/sent >/tmp/received", timeout=60)
    guest.must("cmp /tmp/sent /tmp/received")
    assert guest.pull("/tmp/received")[:16] == guest.pull("/tmp/sent")[:16]
    guest.must("rm /tmp/sent /tmp/received")


def test_ten_clients_in_the_guest_at_once_get_all_back(kecho: Address, guest: vm.Guest) -> None:
    commands = [guest.start(script("echoed", PORT, 200_000), timeout=60) for _ in range(10)]
    assert [guest.finish(command).status for command in commands] == [0] * 10
