# SPDX-License-Identifier: GPL-2.0
"""What earlier servers inside the kernel got wrong: each mistake is a test here.

The guest shows stale memory: each object that the kernel allocates is poisoned and none is zeroed,
and the free pages hold a marker.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ktcp import conversation, vm
from ktcp.conversation import Address
from . import web
from .lab import (
    EXECUTORS,
    PORT,
    RMMOD_SECONDS,
    Lab,
    anything_left,
    crowd_program,
    echoed,
    eventually,
    fill,
    is_silent,
    listens,
    loaded,
    rmmod,
    script,
    serve,
    statistics,
)

# No init_on_alloc, which the distribution has on: nothing must depend on it.
STALE = ("slub_debug=FZP", "init_on_alloc=0", "init_on_free=0")
MARKER = b"STALE-BYTES-OF-SOMEBODY-ELSE "
# What slub_debug writes into objects that are free, and that are new
POISON = (b"\x6b" * 8, b"\x5a" * 8)

# Small enough to be slab objects, and to be filled by every message.
BUFFER = 1024
SIZES = [0, 1, BUFFER - 1, BUFFER, BUFFER + 1, 1 << 20]


@pytest.fixture(scope="module")
def stale(lab: Lab, proving: Path) -> Iterator[Lab]:
    """A lab whose guests hold stale memory everywhere."""
    options = {"cmdline": STALE, "files": crowd_program()}
    own = Lab(lab.kernel, [*lab.modules, proving], lab.accel, "stale", **options)
    guest = own.lend()
    fill(guest, "/tmp/fill", MARKER.decode(), 400)
    guest.must("rm /tmp/fill")
    yield own
    own.close()


@pytest.fixture
def machine(stale: Lab) -> Iterator[vm.Guest]:
    yield stale.lend()
    stale.take_back()


@pytest.fixture(params=EXECUTORS)
def server(request: pytest.FixtureRequest, stale: Lab, machine: vm.Guest) -> Address:
    """An echo server with small buffers, on each executor."""
    machine.must("insmod /modules/ktcp_server.ko")
    serve(machine, request.param, input=BUFFER, output=BUFFER)
    assert eventually(lambda: conversation.answers(stale.address, 5))
    return stale.address


def payloads(size: int) -> list[bytes]:
    """Bytes without and with NULs: at the front, in the middle, at the end, and nothing else."""
    plain = bytes(value or 1 for value in os.urandom(size))
    middle = size // 2
    marked = plain[:middle] + b"\0" + plain[middle + 1 :]
    found = [plain, bytes(size), marked, b"\0" + plain[1:], plain[:-1] + b"\0"]
    return [payload for payload in found if len(payload) == size]


def test_uninitialised_memory_is_never_sent(server: Address) -> None:
    """Echoed uninitialised `kmalloc` memory: file names and the kernel's command line came back."""
    received = b""
    for size in (*range(1, 40), 100, BUFFER, 5000):
        with conversation.connect(server) as connection:
            payload = secrets.token_bytes(size)
            connection.sendall(payload)
            assert conversation.receive(connection, size) == payload
            # Half a message more than was ever sent would show here.
            connection.shutdown(socket.SHUT_WR)
            received += conversation.receive_until_end(connection)
    assert received == b""


def test_nothing_is_sent_before_anything_came(server: Address) -> None:
    """The same, for a client that only listens, and for one that ends at once."""
    with conversation.connect(server) as connection:
        assert is_silent(connection, 1.0)
        connection.shutdown(socket.SHUT_WR)
        assert conversation.receive_until_end(connection) == b""


def test_a_short_message_does_not_end_in_the_tail_of_a_long_one(server: Address) -> None:
    """Left the previous message in the buffer, so that a shorter one ended in its tail."""
    with echoed(server) as connection:
        for long in (BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER):
            for short in (1, 2, 7, BUFFER // 2):
                for payload in (b"L" * long, b"s" * short):
                    connection.sendall(payload)
                    assert conversation.receive(connection, len(payload)) == payload
                assert is_silent(connection, 0.05)


@pytest.mark.parametrize("size", SIZES)
def test_every_size_comes_back(server: Address, size: int) -> None:
    """`size - 1` with size 0 became 2^64-1 and panicked the machine."""
    for payload in payloads(size):
        back = conversation.exchange(server, payload)
        assert back == payload
        assert MARKER not in back and not any(poison in back for poison in POISON)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_the_smallest_buffers_return_every_byte(stale: Lab, machine: vm.Guest, size: int) -> None:
    """The same, where a buffer has one byte, or two."""
    machine.must("insmod /modules/ktcp_server.ko")
    assert machine.insmod("proving", input=size, output=1).status == 0
    for payload in (b"", b"\0", b"ab", b"a\0c", bytes(range(256)) * 8):
        assert conversation.exchange(stale.address, payload) == payload


def test_a_buffer_of_no_bytes_is_refused(machine: vm.Guest) -> None:
    """The same, where somebody asks for a buffer of size 0."""
    machine.must("insmod /modules/ktcp_server.ko")
    for name in ("input", "output"):
        outcome = machine.insmod("proving", **{name: 0})
        assert outcome.status != 0 and "nvalid" in outcome.output, outcome.output
    assert not anything_left(machine, "proving")


def test_binary_data_has_its_whole_length(server: Address) -> None:
    """`strlen` for the length of binary data: a NUL led to an out-of-bounds read of the stack."""
    with echoed(server) as connection:
        for payload in (b"\0", b"\0\0", b"\0x", b"x\0", b"a\0b\0c", bytes(BUFFER), b"%s%n%p\0%x"):
            connection.sendall(payload)
            assert conversation.receive(connection, len(payload)) == payload
        assert is_silent(connection)


def threads(guest: vm.Guest, prefix: str) -> list[str]:
    names = guest.must("cat /proc/[0-9]*/comm 2>/dev/null; true").splitlines()
    return [name for name in names if name.startswith(prefix)]


def test_no_thread_outlives_its_module(server: Address, machine: vm.Guest) -> None:
    """A kernel thread that outlived its module."""
    clients = [echoed(server) for _ in range(5)]
    assert threads(machine, "proving/")
    assert rmmod(machine, "proving") < RMMOD_SECONDS
    assert not threads(machine, "proving")
    machine.must("rmmod ktcp_server")
    # Where such a thread would go on, if it slept when its module went
    for client in clients:
        client.close()
    time.sleep(0.5)
    machine.check()


def test_closed_connections_are_freed_at_once(server: Address, machine: vm.Guest) -> None:
    """Closed connections were freed only at unload."""
    used = []
    for _ in range(3):
        for _ in range(60):
            echoed(server).close()
        assert eventually(lambda: statistics(machine, "proving")["open"] == 0)
        assert len(threads(machine, "proving/")) < 10
        machine.must("sleep 0.3")
        slabs = machine.must("grep -E '^TCP ' /proc/slabinfo").split()
        used.append(int(slabs[1]))
    assert used[-1] <= used[0] + 30, used


def test_a_load_without_its_threads_fails(machine: vm.Guest) -> None:
    """`insmod` succeeded although the thread could not start; a NULL dereference at `rmmod`."""
    machine.must("insmod /modules/ktcp_server.ko")
    limit = "/proc/sys/kernel/threads-max"
    usual = machine.must(f"cat {limit}").strip()
    failures = 0
    for executor in ("event_loop", "workqueue", "kthread"):
        for spare in range(8):
            outcome = machine.run(script("scarce-threads", executor, spare))
            assert machine.must(f"cat {limit}").strip() == usual
            if outcome.status == 0:
                assert "proving" in loaded(machine)
                machine.must("rmmod proving")
                break
            failures += 1
            assert not anything_left(machine, "proving")
        else:
            pytest.fail("it never loaded")
    assert failures >= 3


def test_a_suspended_client_does_not_keep_the_port(server: Address, machine: vm.Guest) -> None:
    """Clients that were suspended (Ctrl-Z) kept the port busy for the next `insmod`."""
    client = machine.start(f"yes | nc 127.0.0.1 {PORT} >/dev/null", timeout=60)
    assert eventually(lambda: machine.run("pidof nc").status == 0)
    time.sleep(0.5)
    machine.must("killall -STOP nc")
    assert rmmod(machine, "proving") < RMMOD_SECONDS
    assert not listens(machine)
    assert machine.insmod("proving").status == 0
    assert conversation.answers(server, 10)
    machine.must("killall -9 nc")
    machine.finish(client)


def test_what_peers_send_is_not_logged(server: Address, machine: vm.Guest) -> None:
    """Peer data was printed to the kernel log."""
    secret = secrets.token_hex(16)
    for payload in (f"\n{secret}\n", f"<0>{secret}", f"{secret}\0{secret}", secret * 100):
        assert conversation.exchange(server, payload.encode()) == payload.encode()
    assert secret not in machine.dmesg()
    assert secret not in machine.console()


@pytest.fixture
def site(stale: Lab, machine: vm.Guest) -> Iterator[web.Web]:
    """khttpd, with nothing to give out yet."""
    machine.must(f"insmod /modules/ktcp_server.ko && mkdir -p {web.ROOT}")
    site = web.Web(machine, stale.address)
    with site.served():
        yield site
    machine.must(f"rm -r {web.ROOT}")


def fetch(site: web.Web, path: str) -> tuple[int, int, bytes]:
    """The status of what comes for a path, its length as it is announced, and its content."""
    request = f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
    head, _, content = site.say(request.encode()).partition(b"\r\n\r\n")
    fields = web.fields_of(head.partition(b"\r\n")[2] + b"\r\n")
    return web.statuses(head + b"\r\n\r\n")[0], int(fields["content-length"]), content


@pytest.mark.parametrize("size", [126, 127, 128, 129, 255, 256, 257, 1000])
def test_a_request_line_is_taken_whole(site: web.Web, size: int) -> None:
    """A request line of 128 bytes was copied with `strncat`, and what was longer was cut, or worse."""
    line = len("GET  HTTP/1.1")
    path = "/" + "/".join(["d" * 100] * 12) + "/"
    path = path[: size - line - 20] + "f" * 20
    folder = path.rpartition("/")[0]
    site.guest.must(f"mkdir -p {web.ROOT}{folder} && echo -n {size} >{web.ROOT}{path}")
    assert len(f"GET {path} HTTP/1.1") == size
    assert fetch(site, path) == (200, len(str(size)), str(size).encode())
    # One that begins like it is another.
    for other in (path[:-1], f"{path}f", f"{path[:-1]}g"):
        status, length, content = fetch(site, other)
        assert (status, length) == (404, len(content))


@pytest.mark.parametrize("size", [0, 1, 127, 128, 4095, 4096, 4097, 1 << 20])
def test_a_response_is_as_long_as_it_says(site: web.Web, size: int) -> None:
    """The Content-Length did not match the body."""
    site.guest.must(f"head -c {size} /dev/urandom >{web.ROOT}/file")
    status, length, content = fetch(site, "/file")
    assert (status, length, len(content)) == (200, size, size)
    if size < 10_000:
        assert content == site.guest.pull(f"{web.ROOT}/file")
    status, length, content = fetch(site, "/no-such-file")
    assert (status, length) == (404, len(content))
