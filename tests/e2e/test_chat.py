# SPDX-License-Identifier: GPL-2.0
"""The chat: sessions, lines, and sending from one connection to the others."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from ktcp import conversation, vm
from ktcp.conversation import Address
from .lab import PORT, RMMOD_SECONDS, Lab, eventually, is_ended, loaded, patience, rmmod, statistics
from .pseudo import Terminal

HELLO = "* what is your name?"
MISSED = "* lines that you have missed: "
HELP = "* say something, or: /who lists who is there, /quit leaves"
NO_NAME = "* 1 to 16 letters and digits, please"
NO_TEXT = "* that is no text"
TOO_LONG = "* a line has at most 1023 bytes"

# RFC 854, RFC 855, RFC 1184
EOF, SE, NOP, DM, GA, SB, WILL, WONT, DO, DONT, IAC = 236, 240, 241, 242, *range(249, 256)
LF = 10

# As PuTTY has it before anything else: window size, speed, kind of terminal, environment, echo, go ahead
PUTTY = bytes(
    byte
    for verb, option in (
        (WILL, 31),
        (WILL, 32),
        (WILL, 24),
        (WILL, 39),
        (DO, 1),
        (WILL, 3),
        (DO, 3),
    )
    for byte in (IAC, verb, option)
)

# Sequences that are no text, wherever they stand
TELNET = {
    "putty": PUTTY,
    "verb with a line feed for an option": bytes([IAC, WILL, LF, IAC, DO, LF]),
    "verb with IAC for an option": bytes([IAC, DO, IAC, IAC, WONT, IAC]),
    "commands of two bytes": bytes(
        byte for command in (EOF, *range(SE, SB)) for byte in (IAC, command)
    ),
    "parameters with a line feed": bytes([IAC, SB, 31, 0, LF, 0, 24, IAC, SE]),
    "parameters with IAC and SE": bytes([IAC, SB, 31, IAC, IAC, SE, IAC, IAC, IAC, SE]),
    "parameters of no length": bytes([IAC, SB, IAC, SE]),
    "parameters longer than a line": bytes([IAC, SB, 39]) + b"VAR\n" * 2000 + bytes([IAC, SE]),
    "parameters that a verb cuts short": bytes([IAC, SB, 31, 0, IAC, WILL, 31]),
    "parameters within parameters": bytes([IAC, SB, 31, IAC, SB, 24, IAC, SE]),
}


class Person:
    """Somebody at a terminal, who reads line by line."""

    def __init__(self, address: Address, name: str = "") -> None:
        self.connection = conversation.connect(address)
        self._unread = b""
        assert self.hears() == HELLO
        if name:
            self.says(name)
            assert self.hears() == HELP

    def says(self, *lines: str) -> None:
        self.connection.sendall("".join(f"{line}\n" for line in lines).encode())

    def hears(self) -> str:
        """The next line."""
        while b"\n" not in self._unread:
            piece = self.connection.recv(65536)
            assert piece, f"the connection ended behind {self._unread!r}"
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode()

    def hears_until_silence(self, seconds: float = 1.0) -> list[str]:
        """All lines, until nothing comes for that time."""
        try:
            with patience(self.connection, seconds):
                while piece := self.connection.recv(65536):
                    self._unread += piece
        except TimeoutError:
            pass
        text, self._unread = self._unread.decode(), b""
        assert not text or text.endswith("\n"), text[-100:]
        return text.splitlines()


@pytest.fixture
def chat(lab: Lab, guest: vm.Guest) -> Iterator[Address]:
    """The address of this machine at which the guest's chat answers."""
    guest.must("insmod /modules/ktcp_server.ko")
    guest.must(f"insmod /modules/chat.ko addr=0.0.0.0 port={PORT}")
    yield lab.address


def is_empty(guest: vm.Guest) -> bool:
    return statistics(guest, "chat")["open"] == 0


def test_what_one_says_the_others_hear(chat: Address) -> None:
    ann, bob = Person(chat, "ann"), Person(chat, "bob")
    assert ann.hears() == "* bob has come"
    cleo = Person(chat, "cleo")
    assert ann.hears() == bob.hears() == "* cleo has come"

    ann.says("hello, all")
    assert bob.hears() == cleo.hears() == "ann: hello, all"
    bob.says("Grüße, 世界")
    assert ann.hears() == cleo.hears() == "bob: Grüße, 世界"
    # Nobody hears what they said themselves: the next that ann hears is about cleo.
    cleo.says("/quit")
    assert ann.hears() == bob.hears() == "* cleo has gone"
    assert is_ended(cleo.connection)


def test_who_lists_those_with_a_name(chat: Address) -> None:
    ann, bob = Person(chat, "ann"), Person(chat, "bob")
    bob.says("/who", "/what")
    assert [bob.hears(), bob.hears()] == ["* ann, bob", HELP]
    assert ann.hears() == "* bob has come"
    # Who has no name is not there: neither listed nor spoken to.
    nobody = Person(chat)
    ann.says("/who", "pst")
    assert ann.hears() == "* ann, bob"
    assert nobody.hears_until_silence(0.5) == []


def test_bad_and_taken_names_are_refused(chat: Address) -> None:
    ann = Person(chat, "ann")
    other = Person(chat)
    for bad in ("", "seventeen17letter", "two words", "semi;colon", "/who", "a\x1b[2J", "ü" * 17):
        other.says(bad)
        assert other.hears() in (NO_NAME, NO_TEXT), bad
    other.says("ann")
    assert other.hears() == "* somebody has that name, give another"
    other.says("sixteen16letters")
    assert other.hears() == HELP
    assert ann.hears() == "* sixteen16letters has come"
    # A name is free as soon as its owner is gone, however that happens.
    ann.connection.close()
    assert other.hears() == "* ann has gone"
    assert Person(chat, "ann").connection
    assert other.hears() == "* ann has come"


@pytest.mark.parametrize("letter", ["x", "ü", "世", "𐐷"])
def test_sixteen_letters_of_any_length_are_a_name(chat: Address, letter: str) -> None:
    ann, other = Person(chat, "ann"), Person(chat)
    other.says(letter * 17)
    assert other.hears() == NO_NAME
    other.says(letter * 16)
    assert other.hears() == HELP
    assert ann.hears() == f"* {letter * 16} has come"
    ann.says("/who")
    assert ann.hears() == f"* ann, {letter * 16}"


@pytest.mark.parametrize("sequence", TELNET.values(), ids=TELNET)
def test_telnet_sequences_spoil_no_line(chat: Address, sequence: bytes) -> None:
    ann, bob = Person(chat, "ann"), Person(chat)
    bob.connection.sendall(sequence + b"b" + sequence + b"ob" + sequence + b"\r" + sequence + b"\n")
    assert bob.hears() == HELP
    assert ann.hears() == "* bob has come"
    bob.connection.sendall(sequence + b"Gr\xc3" + sequence + b"\xbc\xc3\x9fe\n" + sequence + b"2\n")
    assert [ann.hears(), ann.hears()] == ["bob: Grüße", "bob: 2"]


def test_telnet_sequences_in_pieces_spoil_no_line(chat: Address, guest: vm.Guest) -> None:
    ann, bob = Person(chat, "ann"), Person(chat)
    short = [sequence for sequence in TELNET.values() if len(sequence) < 100]
    received = statistics(guest, "chat")["bytes_in"]
    for byte in b"".join(sequence + b"b" for sequence in short) + b"\r\n":
        bob.connection.sendall(bytes([byte]))
        received += 1
        # So that each byte is a reception of its own.
        assert eventually(lambda: statistics(guest, "chat")["bytes_in"] == received)
    assert bob.hears() == HELP
    assert ann.hears() == f"* {'b' * len(short)} has come"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r\0"], ids=["LF", "CR LF", "CR NUL"])
def test_return_keys_of_telnet_end_a_line(chat: Address, end: bytes) -> None:
    ann, bob = Person(chat, "ann"), Person(chat)
    bob.connection.sendall(b"bob" + end + b"x" * 1023 + end + b"two" + end)
    assert bob.hears() == HELP
    assert [ann.hears() for _ in range(3)] == ["* bob has come", "bob: " + "x" * 1023, "bob: two"]


def test_lines_in_pieces_and_in_one_piece_are_told_apart(chat: Address) -> None:
    ann, bob = Person(chat, "ann"), Person(chat, "bob")
    assert ann.hears() == "* bob has come"
    for byte in b"in pieces\r\n":
        bob.connection.sendall(bytes([byte]))
    bob.connection.sendall(b"one\ntwo\r\n\n  \nthree\nthe rest is")
    assert [ann.hears() for _ in range(4)] == [
        "bob: in pieces",
        "bob: one",
        "bob: two",
        "bob: three",
    ]
    bob.says(" to come")
    assert ann.hears() == "bob: the rest is to come"


def test_control_characters_are_refused_as_no_text(chat: Address) -> None:
    ann, bob = Person(chat, "ann"), Person(chat, "bob")
    assert ann.hears() == "* bob has come"
    for trick in (
        b"\x1b[2J",
        b"\x07",
        b"a\0b",
        # One byte 255, as telnet has it
        b"\xff\xff",
        b"\xfe",
        b"\xfcber",
        b"a\rb",
        b"\0\0",
        "\x9b2J".encode(),
        b"a\rann: I am bob",
    ):
        bob.connection.sendall(trick + b".\n")
        assert bob.hears() == NO_TEXT, trick
    bob.says("sorry")
    assert ann.hears() == "bob: sorry"


@pytest.mark.parametrize("line", [b"x" * 1024, b"x" * 1023 + b"\rx", b"\r" * 1025])
def test_a_line_of_1024_bytes_closes(chat: Address, line: bytes) -> None:
    ann, bob = Person(chat, "ann"), Person(chat, "bob")
    assert ann.hears() == "* bob has come"
    bob.connection.sendall(line)
    assert bob.hears() == TOO_LONG
    assert is_ended(bob.connection)
    assert ann.hears() == "* bob has gone"


def test_fifty_people_hear_every_line(chat: Address, guest: vm.Guest) -> None:
    # One after the other, for the sake of QEMU's forward.
    people = [Person(chat, f"p{number}") for number in range(50)]
    for number, person in enumerate(people):
        later = [f"* p{other} has come" for other in range(number + 1, 50)]
        assert [person.hears() for _ in later] == later
    people[0].says(*(f"line {number}" for number in range(20)))
    for person in people[1:]:
        assert [person.hears() for _ in range(20)] == [f"p0: line {n}" for n in range(20)]
    for person in people:
        person.connection.close()
    assert eventually(lambda: is_empty(guest))


def test_a_slow_reader_holds_up_nobody(chat: Address, guest: vm.Guest) -> None:
    # In the guest itself, and with small buffers: otherwise QEMU takes megabytes on the way.
    sysctls = {name: f"/proc/sys/net/ipv4/tcp_{name}" for name in ("rmem", "wmem")}
    before = {name: guest.must(f"cat {path}").strip() for name, path in sysctls.items()}
    for path in sysctls.values():
        guest.must(f"echo 4096 8192 16384 >{path}")
    try:
        ann, bob = Person(chat, "ann"), Person(chat, "bob")
        command = f"(echo slow; sleep 60) | nc 127.0.0.1 {PORT} >/tmp/slow"
        slow = guest.start(command, timeout=90)
        assert [ann.hears(), ann.hears()] == ["* bob has come", "* slow has come"]
        assert bob.hears() == "* slow has come"
        guest.must("killall -STOP nc")

        said = [f"{number:05} " + "x" * 900 for number in range(1000)]
        for start in range(0, len(said), 10):
            batch = said[start : start + 10]
            bob.says(*batch)
            # Ann hears all of it, and within the ten seconds that she has for each line.
            assert [ann.hears() for _ in batch] == [f"bob: {line}" for line in batch]

        # What the slow one hears is what had fitted, which is what buffers hold …
        guest.must("killall -CONT nc")
        said.append("are you there?")

        def caught_up() -> bool:
            bob.says(said[-1])
            assert ann.hears() == f"bob: {said[-1]}"
            return guest.run(f"tail -n 1 /tmp/slow | grep -q '{said[-1]}'").status == 0

        assert eventually(caught_up)
        heard = guest.pull("/tmp/slow").decode().splitlines()
        assert heard[:2] == [HELLO, HELP]
        assert sum(map(len, heard)) < 200_000 < sum(map(len, said))
        # … and how many lines are missing, when there is room again.
        number = 0
        for line in heard[2:]:
            if line.startswith(MISSED):
                number += int(line.removeprefix(MISSED))
            else:
                assert line == f"bob: {said[min(number, len(said) - 1)]}"
                number += 1
        assert number >= len(said)
        assert any(line.startswith(MISSED) for line in heard)
        guest.must("killall nc sleep")
        guest.finish(slow)
    finally:
        for name, path in sysctls.items():
            guest.must(f"echo {before[name]} >{path}")


def test_unloading_ends_those_who_talk(chat: Address, guest: vm.Guest) -> None:
    people = [Person(chat, f"p{number}") for number in range(5)]
    people[0].says(*["x" * 1000] * 200)
    assert rmmod(guest, "chat") < RMMOD_SECONDS
    assert "chat" not in loaded(guest)
    assert all(is_ended(person.connection) for person in people)


def test_telnet_client_chats(chat: Address) -> None:
    ann = Person(chat, "ann")
    with Terminal(["telnet", chat[0], str(chat[1])]) as telnet:
        telnet.expect(HELLO, 10)
        telnet.type("bob\n")
        telnet.expect(HELP, 10)
        assert ann.hears() == "* bob has come"
        ann.says("hello, bob")
        telnet.expect("ann: hello, bob", 10)
        telnet.type("hello, ann\n")
        assert ann.hears() == "bob: hello, ann"
        telnet.type("/quit\n")
        telnet.expect("Connection closed by foreign host.", 10)
        assert ann.hears() == "* bob has gone"


@pytest.mark.parametrize("parameters", ["port=x", "max_connections=0", "addr=here"])
def test_bad_parameters_refuse_the_load(guest: vm.Guest, parameters: str) -> None:
    guest.must("insmod /modules/ktcp_server.ko")
    assert guest.run(f"insmod /modules/chat.ko {parameters}").status != 0
    name, _, value = parameters.partition("=")
    assert f'ktcp_server: chat: {name} is "{value}", and must be ' in guest.dmesg()
    assert "chat" not in loaded(guest)


def test_connections_that_say_nothing_are_freed(chat: Address, guest: vm.Guest) -> None:
    for _ in range(20):
        with socket.create_connection(chat):
            pass
    assert eventually(lambda: is_empty(guest))
