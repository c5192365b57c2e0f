# SPDX-License-Identifier: GPL-2.0
"""khttpd, as clients see it that others have written."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import pytest

from ktcp import conversation
from .lab import eventually, statistics
from . import web
from .web import FILES, ROOT, Web


# The protocol


def test_methods(site: Web) -> None:
    head = site.curl("/hello.txt", "--head", "-o", "/dev/null")
    assert head.status == 200
    assert head.fields["content-length"] == "11"
    options = site.curl("/hello.txt", "-X", "OPTIONS")
    assert (options.status, options.fields["allow"]) == (204, "GET, HEAD, OPTIONS")
    assert site.curl("/", "-X", "OPTIONS", "--request-target", "*").status == 204
    post = site.curl("/hello.txt", "-d", "a=b")
    assert (post.status, post.fields["allow"]) == (405, "GET, HEAD, OPTIONS")
    assert site.curl("/hello.txt", "-X", "DELETE").status == 405
    assert site.curl("/hello.txt", "-X", "BREW").status == 501
    absolute = site.curl("/", "--request-target", "http://elsewhere.example/hello.txt")
    assert absolute.content == FILES["hello.txt"]


def test_connections_are_kept(site: Web) -> None:
    urls = [site.url("/hello.txt"), site.url("/nothing"), site.url("/1k.bin"), site.url("/folder")]
    assert web.curl(site.url(), *urls).connections == 1
    # And not kept where they cannot or shall not be.
    assert web.curl(site.url(), *urls, "-H", "Connection: close").connections == 5
    assert web.curl(site.url(), *urls, "--http1.0").connections == 5
    kept = web.curl(site.url(), *urls, "--http1.0", "-H", "Connection: keep-alive")
    assert (kept.connections, kept.fields["connection"]) == (1, "keep-alive")


def test_pipelining(site: Web) -> None:
    paths = ["hello.txt", "large.bin", "nothing", "1k.bin", "empty.txt"] * 4
    asked = b"".join(f"GET /{path} HTTP/1.1\r\nHost: h\r\n\r\n".encode() for path in paths)
    answer = site.say(asked.removesuffix(b"\r\n") + b"Connection: close\r\n\r\n", 30)
    assert web.statuses(answer) == [200, 200, 404, 200, 200] * 4
    assert answer.count(FILES["large.bin"]) == 4


def test_answers_for_a_client_that_has_said_its_last(site: Web) -> None:
    with socket.create_connection(site.address, 10) as connection:
        connection.sendall(b"GET /large.bin HTTP/1.1\r\nHost: h\r\n\r\n" * 2)
        connection.shutdown(socket.SHUT_WR)
        answer = conversation.receive_until_end(connection)
    assert answer.count(FILES["large.bin"]) == 2


def test_contents_of_requests(site: Web, tmp_path: Path) -> None:
    sent = web.scratch(tmp_path, os.urandom(900_000))
    get = ("-X", "GET", "--data-binary", f"@{sent}")
    chunked = (*get, "-H", "Transfer-Encoding: chunked")
    waiting = (*get, "-H", "Expect: 100-continue")
    for options in (get, chunked, waiting):
        response = web.curl(site.url("/hello.txt"), *options, site.url("/1k.bin"))
        # The next request on that connection is understood.
        assert (response.status, response.connections) == (200, 1), options
        assert response.content == FILES["1k.bin"] + FILES["hello.txt"]


def test_contents_that_are_too_large(site: Web, tmp_path: Path) -> None:
    sent = web.scratch(tmp_path, bytes(20 << 20))
    get = ("-X", "GET", "--data-binary", f"@{sent}")
    assert site.curl("/hello.txt", *get, "-H", "Expect:").status == 413
    assert site.curl("/hello.txt", *get, "-H", "Transfer-Encoding: chunked").status == 413
    waiting = site.curl("/hello.txt", *get, "-H", "Expect: 100-continue")
    assert (waiting.status, waiting.fields["connection"]) == (413, "close")


def test_an_upload_that_goes_on_after_its_refusal(site: Web) -> None:
    upload = b"POST /hello.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n"
    # Deaf until everything is said: a connection that is reset meanwhile has no answer for it.
    with socket.create_connection(site.address, 30) as connection:
        connection.sendall(upload)
        for _ in range(20):
            connection.sendall(bytes(1_000_000))
            time.sleep(0.02)
        answer = conversation.receive_until_end(connection)
    assert web.statuses(answer) == [413]
    assert eventually(lambda: statistics(site.guest, "khttpd")["open"] == 0)
    # One without an end is cut.
    with socket.create_connection(site.address, 30) as connection:
        connection.sendall(upload)
        said = 0
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while said < 500_000_000:
                connection.sendall(bytes(1_000_000))
                said += 1_000_000


def test_faults_by_curl(site: Web) -> None:
    for status, path, options in (
        (400, "/%00", ()),
        (400, "/../secret", ()),
        (403, "/private.txt", ()),
        (404, "/nothing", ()),
        (405, "/hello.txt", ("-d", "text")),
        (414, "/" + "a" * 5000, ()),
        (417, "/hello.txt", ("-H", "Expect: tea")),
        (431, "/hello.txt", ("-H", "A: " + "b" * 20_000)),
        (501, "/hello.txt", ("-X", "BREW")),
        (505, "/hello.txt", ("-X", "GET /hello.txt HTTP/2.0\r\nHost: h\r\n\r\nGET")),
    ):
        assert site.curl(path, *options).status == status, (path, options)


def test_what_is_refused_closes(site: Web) -> None:
    get = b"GET /hello.txt HTTP/1.1\r\nHost: h\r\n"
    for said, status in (
        (b"GET /hello.txt\r\n\r\n", 400),
        (b"GET /hello.txt HTTP/1.1\r\n\r\n", 400),
        (b"GET /hello.txt HTTP/2.0\r\n\r\n", 505),
        (b"GET /hello.txt HTTP/1.1\nHost: h\n\n", 400),
        (get + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400),
        (get + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (get + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (get + b"Transfer-Encoding: chunked\r\n\r\n5\nabcde\n0\n\n", 400),
        (get + b"A: b\r\n c\r\n\r\n", 400),
        (get + b"A: b\0c\r\n\r\n", 400),
        (get + b"A: " + b"b" * 20_000 + b"\r\n\r\n", 431),
        (get + b"A: b\r\n" * 100 + b"\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    ):
        # Smuggled behind it is one that must not be answered.
        answer = site.say(said + b"GET /1k.bin HTTP/1.1\r\nHost: h\r\n\r\n")
        assert web.statuses(answer) == [status], said
        assert b"\r\nConnection: close\r\n" in answer


def test_heads_in_pieces(site: Web) -> None:
    with conversation.connect(site.address) as connection:
        for byte in b"GET /hello.txt HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n":
            connection.sendall(bytes([byte]))
        assert conversation.receive_until_end(connection).endswith(FILES["hello.txt"])


# The status page


def test_status_page(site: Web) -> None:
    page = site.curl("/_ktcp/stats")
    assert b"<svg" in page.content and b'http-equiv="refresh"' in page.content
    before = json.loads(site.curl("/_ktcp/stats.json").content)
    site.curl("/nothing")
    site.curl("/hello.txt")
    after = json.loads(site.curl("/_ktcp/stats.json").content)
    rise = {
        name: after["responses"][name] - before["responses"][name] for name in after["responses"]
    }
    assert rise == {"all": 3, "1xx": 0, "2xx": 2, "3xx": 0, "4xx": 1, "5xx": 0}

    def open_connections() -> int:
        count: int = json.loads(site.curl("/_ktcp/stats.json").content)["connections"]["open"]
        return count

    # Its own, when the one before has been closed
    assert eventually(lambda: open_connections() == 1)
    assert len(after["responses_per_second"]) == 60


# Settings


def test_settings_that_are_refused(server: Web) -> None:
    for parameters, line in (
        ("", "root is not given"),
        ("root=/nothing", "root=/nothing cannot be opened"),
        (f"root={ROOT}/hello.txt", "cannot be opened"),
        (f"root={ROOT} addr=nowhere", "addr"),
        (f"root={ROOT} executor=none", "executor"),
    ):
        outcome = server.guest.run(f"insmod /modules/khttpd.ko {parameters}")
        assert outcome.status != 0
        assert line in server.guest.dmesg().splitlines()[-1]


def test_what_is_off_unless_asked_for(server: Web) -> None:
    with server.served(listings=0, cache=0):
        assert server.curl("/").status == 403
        assert server.curl("/with-index/").status == 200
        assert server.curl("/_ktcp/stats").status == 404
        assert server.curl("/1k.bin").content == FILES["1k.bin"]
