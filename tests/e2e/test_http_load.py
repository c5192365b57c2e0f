# SPDX-License-Identifier: GPL-2.0
"""khttpd under load, and with clients that are slow."""

from __future__ import annotations

import re
import socket
import time

import pytest

from ktcp import conversation
from .lab import eventually, statistics
from . import web
from .web import FILES, Web

# The guest has 2 CPUs, and shares those of the machine with everything else.
LOAD_SECONDS = 2


def check_by_wrk(server: Web, path: str, connections: int, least: int) -> None:
    """Lets wrk ask for the path: so often at least, and without an error."""
    # On a busy machine, the shorter time may be over before everybody has had an answer.
    for seconds in (LOAD_SECONDS, 10 * LOAD_SECONDS):
        url = f"http://127.0.0.1:{web.PORT}{path}"
        command = f"wrk -t2 -c{connections} -d{seconds}s --timeout 20s {url}"
        output = web.program_output(server.guest, command)
        assert "Socket errors" not in output and "Non-2xx" not in output, output
        if int(re.findall(r"(\d+) requests in", output)[0]) >= least:
            return
    pytest.fail(output)


@pytest.mark.parametrize("executor", ["workqueue", "event_loop", "kthread"])
def test_wrk(server: Web, executor: str) -> None:
    with server.served(executor=executor):
        check_by_wrk(server, "/1k.bin", 64, 64)


def test_wrk_large(site: Web) -> None:
    check_by_wrk(site, "/large.bin", 8, 4)


@pytest.mark.parametrize("options", ["", "-k"])
def test_ab(site: Web, options: str) -> None:
    command = f"ab {options} -q -n 3000 -c 50 http://127.0.0.1:{web.PORT}/1k.bin"
    output = web.program_output(site.guest, command)
    counts = dict(re.findall(r"^([A-Z][\w -]+): +(\d+)", output, re.MULTILINE))
    assert (counts["Complete requests"], counts["Failed requests"]) == ("3000", "0"), output
    assert counts["HTML transferred"] == str(3000 * 1024)
    assert counts.get("Keep-Alive requests", "0") == ("3000" if options else "0")


def test_rmmod_under_load(server: Web) -> None:
    with server.served():
        command = f"PATH=$PATH:/usr/bin wrk -t2 -c100 -d6s http://127.0.0.1:{web.PORT}/large.bin"
        load = server.guest.start(command, timeout=60)
        time.sleep(2)
        server.guest.must("rmmod khttpd", timeout=30)
        server.guest.finish(load)


# Slow clients


@pytest.mark.parametrize(
    "attack, cut",
    [
        ("-H", "closed_receive_timeout"),
        # For a method and for a range that are refused
        ("-B", "closed_by_handler"),
        ("-R", "closed_by_handler"),
        ("-X", "closed_send_timeout"),
    ],
)
def test_slow_clients(server: Web, attack: str, cut: str) -> None:
    timeouts = {"receive_timeout_ms": 1500, "send_timeout_ms": 1500, "idle_timeout_ms": 2000}
    with server.served(**timeouts):
        command = (
            f"PATH=$PATH:/usr/bin slowhttptest {attack} -c 300 -r 300 -i 1 -l 20 -p 2 -x 10"
            f" -u http://127.0.0.1:{web.PORT}/large.bin"
        )
        slow = server.guest.start(command, timeout=60)
        time.sleep(1.5)
        # Others are served meanwhile.
        for _ in range(5):
            started = time.monotonic()
            assert server.curl("/hello.txt").content == FILES["hello.txt"]
            assert time.monotonic() - started < 2
        assert eventually(lambda: statistics(server.guest, "khttpd")[cut] >= 250, 20)
        server.guest.run("killall slowhttptest")
        server.guest.finish(slow)


def test_slow_clients_are_told(server: Web) -> None:
    get = b"GET /hello.txt HTTP/1.1\r\nHost: h\r\n"
    with server.served(receive_timeout_ms=1000, idle_timeout_ms=2000):
        for said, told in (
            (get, [408]),
            (get + b"\r\n" + get, [200, 408]),
            (get + b"Content-Length: 5\r\n\r\n123", [408]),
            # Between requests there is nothing to tell.
            (get + b"\r\n", [200]),
            (b"", []),
        ):
            assert web.statuses(server.say(said)) == told, said


def test_clients_that_say_no_more(server: Web) -> None:
    get = b"GET /hello.txt HTTP/1.1\r\nHost: h\r\n"
    upload = b"POST /hello.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n"
    with server.served(receive_timeout_ms=30_000, idle_timeout_ms=30_000):
        for said, told in (
            (b"", []),
            (get + b"\r\n", [200]),
            (2 * (get + b"\r\n") + get, [200, 200]),
            (get + b"Content-Length: 5\r\n\r\n123", []),
            (upload, [413]),
        ):
            started = time.monotonic()
            with socket.create_connection(server.address, 20) as connection:
                connection.sendall(said)
                connection.shutdown(socket.SHUT_WR)
                answer = conversation.receive_until_end(connection)
                assert web.statuses(answer) == told, said
                # At once, though the client has not closed.
                assert eventually(lambda: statistics(server.guest, "khttpd")["open"] == 0, 10)
            assert time.monotonic() - started < 20
    # It is told of the end, and neither goes on nor ends itself.
    with server.served(idle_timeout_ms=2000):
        with socket.create_connection(server.address, 20) as connection:
            connection.sendall(upload)
            assert web.statuses(conversation.receive_until_end(connection)) == [413]
            assert statistics(server.guest, "khttpd")["open"] == 1
            assert eventually(lambda: statistics(server.guest, "khttpd")["open"] == 0, 10)


def test_a_client_that_takes_nothing(server: Web) -> None:
    with server.served(send_timeout_ms=1500):
        command = (
            f"(printf 'GET /large.bin HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n'; sleep 30) | "
            f"nc 127.0.0.1 {web.PORT} | sleep 30"
        )
        deaf = server.guest.start(command, timeout=60)
        cut = lambda: statistics(server.guest, "khttpd")["closed_send_timeout"] == 1
        assert eventually(cut, 20)
        server.guest.must("killall sleep")
        server.guest.finish(deaf)
