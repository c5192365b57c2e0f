# SPDX-License-Identifier: GPL-2.0
"""A guest with khttpd, the tree that it gives out, and curl to ask for it."""

from __future__ import annotations

import hashlib
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ktcp import run, userland, vm, wires
from ktcp.conversation import Address
from .lab import Lab, loaded

PORT = run.GUEST_PORT
ROOT = "/srv/www"
PROGRAMS = ("wrk", "ab", "slowhttptest")

# A gigabyte would say no more, and take its time.
LARGE = 5_000_001


def pattern(size: int) -> bytes:
    """Bytes that differ from place to place."""
    block = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(256))
    return (block * (size // len(block) + 1))[:size]


FILES = {
    "hello.txt": b"hello, web\n",
    "empty.txt": b"",
    "1k.bin": pattern(1024),
    "page.html": "<p>Grüße</p>\n".encode(),
    "a b%&'\"<ü>.txt": b"odd\n",
    "with-index/index.html": b"<h1>index</h1>\n",
    "folder/one.txt": b"1",
    "folder/sub/two.txt": b"22",
    "large.bin": pattern(LARGE),
    "small.bin": pattern(16 << 10),
    "medium.bin": pattern((16 << 10) + 1),
}

# Beside the files: what must not be had.
SETUP = f"""
echo secret >/srv/secret
ln -s hello.txt {ROOT}/link.txt
ln -s ../secret {ROOT}/out
ln -s /srv/secret {ROOT}/absolute
ln -s /etc {ROOT}/etc
echo private >{ROOT}/private.txt
chmod 600 {ROOT}/private.txt
mkdir {ROOT}/closed
chmod 700 {ROOT}/closed
mkfifo {ROOT}/pipe
mknod {ROOT}/null c 1 3
"""


def new_guest(lab: Lab, port: int) -> vm.Guest:
    """A guest with the tree, and with the clients that must not be slowed by a forwarded port."""
    files = {f"{ROOT}/{name}": content for name, content in FILES.items()}
    return vm.Guest(
        lab.kernel,
        lab.modules,
        accel=lab.accel,
        name="http",
        forwards=[wires.Forward(port, PORT)],
        files={**files, **userland.programs(PROGRAMS)},
    )


@dataclass(frozen=True)
class Web:
    """A guest in which the library is loaded, and khttpd whenever a test wants it."""

    guest: vm.Guest
    address: Address

    @contextmanager
    def served(self, **parameters: int | str) -> Iterator[None]:
        """Serves the tree for as long as the block runs."""
        chosen: dict[str, int | str] = {"root": ROOT, "addr": "0.0.0.0", "port": PORT}
        outcome = self.guest.insmod("khttpd", **{**chosen, **parameters})
        assert outcome.status == 0, outcome.output + self.guest.dmesg()
        try:
            yield
        finally:
            if "khttpd" in loaded(self.guest):
                self.guest.must("rmmod khttpd", timeout=60)

    def url(self, path: str = "/") -> str:
        return f"http://{self.address[0]}:{self.address[1]}{path}"

    def curl(self, path: str, *options: str) -> Response:
        """What curl gets; the path is sent as it is."""
        return curl(self.url(path), *options)

    def say(self, text: bytes, seconds: float = 10.0) -> bytes:
        """All that comes back, until the server ends the connection, for these bytes."""
        with socket.create_connection(self.address, seconds) as connection:
            connection.sendall(text)
            answer = bytearray()
            try:
                while piece := connection.recv(1 << 16):
                    answer += piece
            except ConnectionResetError:
                pass
            return bytes(answer)

    def ask(self, target: str, *fields: str, **line: str) -> Response:
        """The response to one request that is sent as it is; see `request`."""
        return response(self.say(request(target, *fields, "Connection: close", **line)))


def request(
    target: str, *fields: str, method: str = "GET", version: str = "1.1", host: str = "h"
) -> bytes:
    """The head of a request."""
    lines = [f"{method} {target} HTTP/{version}", f"Host: {host}", *fields]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode()


def response(answer: bytes) -> Response:
    """The response that is all of what came back."""
    head = HEAD.match(answer)
    assert head, answer[:200]
    return Response(
        status=int(head[1]),
        fields=fields_of(head[2]),
        content=answer[head.end() :],
        connections=1,
    )


@dataclass(frozen=True)
class Response:
    """The last response of those that curl got."""

    status: int
    fields: dict[str, str]
    content: bytes
    # How many connections curl had to open
    connections: int


HEAD = re.compile(rb"HTTP/1\.[01] (\d+)[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n")


def fields_of(text: bytes) -> dict[str, str]:
    lines = text.decode().split("\r\n")[:-1]
    return {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


def curl(url: str, *options: str) -> Response:
    command = ["curl", "-sS", "--path-as-is", "--max-time", "30", "-D", "/dev/stderr"]
    write = ["-w", "%{stderr}connections=%{num_connects}"]
    result = subprocess.run([*command, *write, *options, url], capture_output=True, check=False)
    heads = HEAD.findall(result.stderr)
    assert heads, f"curl {url}: {result.returncode}: {result.stderr.decode(errors='replace')}"
    connections = re.findall(rb"connections=(\d+)", result.stderr)
    return Response(
        status=int(heads[-1][0]),
        fields=fields_of(heads[-1][1]),
        content=result.stdout,
        connections=sum(int(count) for count in connections),
    )


def statuses(answer: bytes) -> list[int]:
    """The statuses in what came back; contents have no status line in them."""
    return [int(status) for status, _ in HEAD.findall(answer)]


def program_output(guest: vm.Guest, command: str, timeout: float = 60.0) -> str:
    return guest.must(f"PATH=$PATH:/usr/bin:/usr/sbin {command} 2>&1", timeout)


def scratch(folder: Path, content: bytes) -> Path:
    """A file with that content, for curl to send."""
    path = folder / "sent"
    path.write_bytes(content)
    return path
