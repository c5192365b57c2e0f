# SPDX-License-Identifier: GPL-2.0
"""khttpd's answers to requests that are said byte by byte, as no client would say them."""

from __future__ import annotations

import pytest

from . import web
from .web import FILES, Web

CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    "target, fields, status",
    [
        ("/nothing", [], 404),
        ("/private.txt", [], 403),
        ("/%00", [], 400),
        ("/hello.txt", ["Host: i"], 400),
        ("/hello.txt", ["A : b"], 400),
        ("/hello.txt", ['If-Match: "x"'], 412),
        ("/hello.txt", ["Content-Length: 99999999"], 413),
        ("/hello.txt", ["Content-Length: 99999999999999999999"], 413),
        ("/" + "x" * 2000, [], 414),
        ("/" + "x" * 9000, [], 414),
        ("/hello.txt", ["Expect: tea"], 417),
        ("/hello.txt", ["A: " + "b" * 20_000], 431),
        ("/hello.txt", ["A: b"] * 100, 431),
        ("/hello.txt", ["Transfer-Encoding: gzip, chunked"], 501),
        ("/folder", [], 301),
        ("/hello.txt", ["If-None-Match: *"], 304),
        ("/", [], 200),
    ],
)
def test_head_never_has_content(site: Web, target: str, fields: list[str], status: int) -> None:
    response = site.ask(target, *fields, method="HEAD")
    assert (response.status, response.content) == (status, b"")


def test_head_has_no_content_when_the_request_is_none(site: Web) -> None:
    for said, status in (
        (b"HEAD /hello.txt HTTP/1.1\r\n\r\n", 400),
        (b"HEAD /hello.txt HTTP/2.0\r\n\r\n", 505),
        (b"HEAD /hello.txt HTTP/1.1\nHost: h\n\n", 400),
        (web.request("/hello.txt", CHUNKED, method="HEAD") + b"x\r\n", 400),
        (web.request("/hello.txt", CHUNKED, method="HEAD") + b"fffffff\r\n", 413),
    ):
        response = web.response(site.say(said))
        assert (response.status, response.content) == (status, b""), said


def test_a_head_and_what_follows_it(site: Web) -> None:
    asked = [web.request(path, method="HEAD") for path in ("/nothing", "/folder", "/1k.bin")]
    last = web.request("/hello.txt", "Connection: close")
    answer = site.say(b"".join(asked) + last)
    assert web.statuses(answer) == [404, 301, 200, 200]
    assert answer.endswith(b"\r\n\r\n" + FILES["hello.txt"])
    assert answer.count(b"\r\n\r\n") == 4


def test_the_lines_of_a_list_count_together(site: Web) -> None:
    tag = site.ask("/hello.txt").fields["etag"]
    for fields, status in (
        ([f"If-Match: {tag}", 'If-Match: "x"'], 200),
        (['If-Match: "x"', f"if-match: {tag}"], 200),
        (['If-Match: "x"', 'If-Match: "y"'], 412),
        ([f"If-None-Match: {tag}", 'If-None-Match: "x"'], 304),
        (['If-None-Match: "x"', "A: b", f"If-None-Match: W/{tag}"], 304),
        (['If-None-Match: "x"', 'If-None-Match: "y"'], 200),
        (["Expect: 100-continue", "Expect: tea"], 417),
        (["Transfer-Encoding: gzip", CHUNKED], 501),
        # What is no list, and so has no value
        (["Range: bytes=0-1", "Range: bytes=0-1"], 200),
        (["Range: bytes=0-1", f"If-Range: {tag}", f"If-Range: {tag}"], 200),
        (["Host: h"], 400),
        (["Content-Length: 0", "Content-Length: 0"], 400),
    ):
        assert site.ask("/hello.txt", *fields).status == status, fields
    # The connection ends at once, whichever line says so.
    asked = web.request("/hello.txt", "Connection: close", "Connection: x")
    assert web.statuses(site.say(asked + asked)) == [200]


def test_empty_members_of_lists(site: Web) -> None:
    for fields, status in (
        (["Expect:"], 200),
        (["Expect: 100-continue,"], 200),
        (["Expect: ,tea"], 417),
        (["If-Match: ,*,"], 200),
        (["If-None-Match: ,*"], 304),
        (["If-Match:"], 412),
        (["Range: bytes=,0-4,"], 206),
    ):
        answer = site.say(web.request("/hello.txt", *fields, "Connection: ,close,"))
        assert web.statuses(answer)[-1] == status, fields
    chunked = web.request("/hello.txt", f"{CHUNKED},", "Connection: close") + b"0\r\n\r\n"
    assert web.statuses(site.say(chunked)) == [200]


def test_hosts_and_authorities(site: Web) -> None:
    valid = ["h", "", "h:", "h:80", "127.0.0.1:80", "[::1]", "[::1]:80", "%7Eh", "[v1.x]"]
    invalid = ["h:80:80", "h:port", "[::1", "::1", "h%zz", ":80", "u@h", "a b", "a/b", "[::1]x"]
    for host in valid:
        assert site.ask("/hello.txt", host=host).status == 200, host
        if host:
            assert site.ask(f"http://{host}/hello.txt").status == 200, host
    for host in invalid:
        assert site.ask("/hello.txt", host=host).status == 400, host
    for authority in [*invalid, "", ":", "h:80:", "[]"]:
        # With a slash in it, it is another path.
        status = 404 if "/" in authority else 400
        assert site.ask(f"http://{authority}/hello.txt").status == status, authority


def test_chunks(site: Web) -> None:
    for content, status in (
        (b"3 ;x=y\r\nabc\r\n0\t;z\r\n\r\n", 200),
        (b'3;x="a;b"\r\nabc\r\n0\r\nT: v\r\nU:\r\n\r\n', 200),
        (b"3 \r\nabc\r\n0\r\n\r\n", 400),
        (b"3 x\r\nabc\r\n0\r\n\r\n", 400),
        (b"0\r\nnothing\r\n\r\n", 400),
        (b"0\r\nT : v\r\n\r\n", 400),
        (b"0\r\n T: v\r\n\r\n", 400),
        (b"0\r\nT: v\r\n folded\r\n\r\n", 400),
        (b"0\r\n: v\r\n\r\n", 400),
        (b"0\r\nGET /1k.bin HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ):
        said = web.request("/hello.txt", CHUNKED) + content
        answer = site.say(said + web.request("/1k.bin", "Connection: close"))
        assert web.statuses(answer) == ([200, 200] if status == 200 else [status]), content


def test_a_line_end_behind_a_content_begins_no_request(server: Web) -> None:
    post = web.request("/hello.txt", "Content-Length: 3", method="POST") + b"a=b"
    with server.served(receive_timeout_ms=1000, idle_timeout_ms=3000):
        for said, told in (
            (post + b"\r\n", [405]),
            (post + b"\r\n\r\n", [405]),
            (post + b"\r", [405]),
            (b"\r\n", []),
            (post + b"\r\n" + post + b"\r\n", [405, 405]),
            (post + b"\r\nG", [405, 408]),
        ):
            assert web.statuses(server.say(said)) == told, said


def test_versions(site: Web) -> None:
    for version, status in (
        ("1.1", 200),
        ("1.2", 200),
        ("1.9", 200),
        ("1.10", 400),
        ("1.", 400),
        ("2.0", 505),
        ("0.9", 505),
    ):
        answer = site.say(web.request("/hello.txt", "Connection: close", version=version))
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), version
    # What 1.1 keeps open, a later one keeps open.
    later = web.request("/hello.txt", version="1.2")
    last = web.request("/hello.txt", "Connection: close")
    assert web.statuses(site.say(later + later + last)) == [200] * 3


def test_a_request_line_of_8000_octets(site: Web) -> None:
    query = "q" * (8000 - len("GET /hello.txt? HTTP/1.1"))
    response = site.ask(f"/hello.txt?{query}")
    assert (response.status, response.content) == (200, FILES["hello.txt"])
    assert site.ask(f"/folder?{query[4:]}").fields["location"] == f"/folder/?{query[4:]}"
    assert site.ask(f"/hello.txt?{query}{'q' * 300}").status == 414


def test_redirects(site: Web) -> None:
    for target, location in (
        ("/folder?a=b&c=/d?e", "/folder/?a=b&c=/d?e"),
        ("/folder?", "/folder/?"),
        ("http://h/folder?q", "/folder/?q"),
        ("/folder%2F?q", "/folder/?q"),
        ("/folder%2fsub/?q", "/folder/sub/?q"),
        ("/folder%2Fsub", "/folder/sub/"),
        ("/%2F", "/"),
        ("/folder/..", "/"),
        ("/with-index%2F", "/with-index/"),
    ):
        response = site.ask(target)
        assert (response.status, response.fields["location"]) == (301, location), target
        # It leads to what is there, and not on.
        assert site.ask(location).status == 200, target
    assert site.ask("/folder%2Fone.txt").content == b"1"
