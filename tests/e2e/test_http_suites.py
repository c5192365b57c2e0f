# SPDX-License-Identifier: GPL-2.0
"""The cases of conformance suites that others keep, said to khttpd: h1spec and llhttp's requests.

What they ask for is written anew here; Documentation/khttpd.md says where khttpd differs, and why.
"""

from __future__ import annotations

import socket

import pytest

from ktcp import conversation
from . import web
from .web import Web

CHUNKED = b"Transfer-Encoding: chunked\r\n"
GET = b"GET /hello.txt HTTP/1.1\r\nHost: example.com\r\n"
POST = b"POST /hello.txt HTTP/1.1\r\nHost: example.com\r\n"

# h1spec: a request that is cut anywhere gets no answer.
CUTS = (1, 4, 10, 11, 15, 19, 20, 21, 24, 26, 27, 36, 37, 38, 39)
WHOLE = b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n"

# h1spec: what is answered, and with what
H1SPEC = {
    "no version": (b"GET /hello.txt \r\n\r\n", 400),
    "an expectation": (GET + b"Expect: 100-continue\r\n\r\n", 200),
    "a valid request": (GET + b"\r\n", 200),
    "odd case, a tab, no value": (b"GET / HTTP/1.1\r\nhoSt:\texample.com\r\nempty:\r\n\r\n", 200),
    "brackets in a name": (GET + b"X-Invalid[]: test\r\n\r\n", 400),
    "no host": (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", 400),
    "two hosts": (GET + b"Host: example.org\r\n\r\n", 400),
    "a huge negative length": (GET + b"Content-Length: -" + 3 * b"123456789" + b"\r\n\r\n", 400),
    "a negative length": (GET + b"Content-Length: -1234\r\n\r\n", 400),
    "letters for a length": (GET + b"Content-Length: abc\r\n\r\n", 400),
    "an empty value": (GET + b"X-Empty-Header: \r\n\r\n", 200),
    "a control character": (GET + b"X-Bad-Control-Char: test\x07\r\n\r\n", 400),
    "another version": (b"GET / HTTP/9.9\r\nHost: example.com\r\n\r\n", 505),
    "something before it": (b"Extra lineGET / HTTP/1.1\r\nHost: example.com\r\n\r\n", 400),
    "a bare carriage return": (GET + b"\rSome-Header: Test\r\n\r\n", 400),
    # It wants 2xx or 404; there is nothing to post to, and 405 says so.
    "a valid POST": (POST + b"Content-Length: 5\r\n\r\nhello", 405),
    "a length and a coding": (GET + CHUNKED + b"Content-Length: 5\r\n\r\n", 400),
}

# llhttp: what is refused (test/request/invalid.md, content-length.md, transfer-encoding.md)
LLHTTP_REFUSED = {
    "ICE": (b"GET /music ICE/1.0\r\nHost: example.com\r\n\r\n", 400),
    "IHTTP": (b"GET /music IHTTP/1.0\r\nHost: example.com\r\n\r\n", 400),
    "RTSP": (b"PUT /music RTSP/1.0\r\nHost: example.com\r\n\r\n", 400),
    "a return between fields": (GET + b"Foo: 1\rBar: 2\r\n\r\n", 400),
    "a line feed between fields": (POST + b"x:x\n" + CHUNKED + b"\r\n1\r\nA\r\n0\r\n\r\n", 400),
    "a return in an empty field": (POST + b"x:\r" + CHUNKED + b"\r\n1\r\nA\r\n0\r\n\r\n", 400),
    "a line feed in one": (POST + b"x:\n" + CHUNKED + b"\r\n1\r\nA\r\n0\r\n\r\n", 400),
    "a return before a request": (GET + b"\rZGET /evil: HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "an at sign in a name": (GET + b"Fo@: Failure\r\n\r\n", 400),
    "a control character in a name": (GET + b"Foo\x01test: Bar\r\n\r\n", 400),
    "an empty name": (GET + b": Bar\r\n\r\n", 400),
    "a folded name": (GET + b"name\r\n : value\r\n\r\n", 400),
    "a broken name": (GET + b"Connection\r\x1b5\xd5eep-Alive\r\n\r\n", 400),
    "a length behind a line feed": (GET + b"Dummy: x\nContent-Length: 23\r\n\r\n", 400),
    "a version that is none": (b"GET / HTTP/5.6\r\n\r\n", 505),
    "a space before the first field": (b"GET / HTTP/1.1\r\n Host: foo\r\n\r\n", 400),
    "line feeds only": (b"POST / HTTP/1.1\nTransfer-Encoding: chunked\n\n0\n\n", 400),
    "a folded value": (POST + b"Foo: bar\r\n Content-Length: 38\r\n\r\n", 400),
    "a length without end": (POST + b"Content-Length: 1000000000000000000000\r\n\r\n", 413),
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "a length and identity": (
        POST + b"Content-Length: 1\r\nTransfer-Encoding: identity\r\n\r\n",
        400,
    ),
    "a space in a length": (POST + b"Content-Length: 4 2\r\n\r\n", 400),
    "no length": (POST + b"Content-Length:\r\n\r\n", 400),
    "a return in a name": (POST + b"Content\rLength: 003\r\n\r\nabc", 400),
    "no coding, and a length": (
        POST + b"Transfer-Encoding:\r\nContent-Length: 5\r\n\r\nhello",
        400,
    ),
    "no coding, three times": (
        POST + b"Content-Length: 10\r\n" + 3 * b"Transfer-Encoding:\r\n" + b"\r\n2\r\nAA\r\n0",
        400,
    ),
    "pigeons": (POST + b"Transfer-Encoding: pigeons\r\n\r\n", 501),
    "no semicolon before an extension": (
        POST + CHUNKED + b"\r\n2 erfr\r\naa\r\n0 rrrr\r\n\r\n",
        400,
    ),
    "no name of an extension": (POST + CHUNKED + b"\r\n2;\r\naa\r\n0\r\n\r\n", 400),
    "a quote without end": (POST + CHUNKED + b'\r\n2;a="b\r\naa\r\n0\r\n\r\n', 400),
}

# llhttp: contents that end where they should
LLHTTP_CONTENTS = {
    "zeroes before a length": b"Content-Length: 003\r\n\r\nabc",
    "another field behind it": b"Content-Length: 003\r\nOhai: world\r\n\r\nabc",
    "odd case": b"conTENT-Length: 5\r\n\r\nHELLO",
    "spaces around a length": b"Content-Length:  2 \r\n\r\n42",
    "small digits": CHUNKED + b"\r\na\r\n0123456789\r\n0\r\n\r\n",
    "large digits": CHUNKED + b"\r\nA\r\n0123456789\r\n0\r\n\r\n",
    "two digits": CHUNKED + b"\r\n1e\r\n" + 30 * b"x" + b"\r\n0\r\n\r\n",
    "three zeroes": CHUNKED + b"\r\n5\r\nhello\r\n6\r\n world\r\n000\r\n\r\n",
    "trailers": CHUNKED + b"\r\n5\r\nhello\r\n0\r\nVary: *\r\nContent-Type: text/plain\r\n\r\n",
    "extensions": CHUNKED + b"\r\n5;ilovew3;so=much;more=value\r\nhello\r\n0;blah;blah\r\n\r\n",
    "quotes": CHUNKED + b'\r\n5;i="I \\"love\\"; \\\\x";b="c";d;e=f\r\nhello\r\n0\r\n\r\n',
}


def test_h1spec_waits_for_the_end_of_a_request(site: Web) -> None:
    for cut in CUTS:
        with socket.create_connection(site.address, 20) as connection:
            connection.sendall(WHOLE[:cut])
            connection.settimeout(0.3)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            connection.settimeout(20)
            connection.sendall(WHOLE[cut:] + web.request("/hello.txt", "Connection: close"))
            assert web.statuses(conversation.receive_until_end(connection)) == [404, 200], cut


@pytest.mark.parametrize("case", H1SPEC)
def test_h1spec(site: Web, case: str) -> None:
    said, status = H1SPEC[case]
    # What is not refused is followed by one that ends the connection.
    last = web.request("/hello.txt", "Connection: close") if status in (200, 405) else b""
    assert web.statuses(site.say(said + last))[0] == status


@pytest.mark.parametrize("case", LLHTTP_REFUSED)
def test_llhttp_refuses(site: Web, case: str) -> None:
    said, status = LLHTTP_REFUSED[case]
    # Nothing behind it is answered, whatever it said of its length: the connection ends.
    assert web.statuses(site.say(said + GET + b"\r\n")) == [status]


@pytest.mark.parametrize("case", LLHTTP_CONTENTS)
def test_llhttp_finds_the_end_of_a_content(site: Web, case: str) -> None:
    last = web.request("/1k.bin", "Connection: close")
    assert web.statuses(site.say(POST + LLHTTP_CONTENTS[case] + last)) == [405, 200]
