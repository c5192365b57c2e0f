# SPDX-License-Identifier: GPL-2.0
"""khttpd, as clients see it that others have written."""

from __future__ import annotations

import json
import os
import re
import socket
import time
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from ktcp import conversation
from .lab import eventually, statistics
from . import web
from .web import FILES, LARGE, ROOT, Response, Web

# The guest has 2 CPUs, and shares those of the machine with everything else.
LOAD_SECONDS = 2


def settle(server: Web) -> None:
    """Waits until what was changed just now counts as settled, and so may be kept."""
    server.guest.must("sleep 3")


# Files and folders


def test_every_file_by_curl(site: Web) -> None:
    for name, content in FILES.items():
        for _ in range(2):  # the second comes from the cache, if it is small
            response = site.curl("/" + quote(name))
            assert (response.status, response.content == content) == (200, True), name
            assert response.fields["content-length"] == str(len(content))
            assert response.fields["accept-ranges"] == "bytes"


def test_a_file_with_holes(site: Web) -> None:
    # The page cache has a piece in the middle, and nothing around it.
    site.guest.must(
        f"printf island | dd of={ROOT}/holes.bin bs=1 seek=1234565"
        f" && dd if=/dev/zero of={ROOT}/holes.bin bs=1 count=1 seek=3000000 conv=notrunc"
    )
    response = site.curl("/holes.bin")
    assert len(response.content) == 3_000_001
    assert response.content == bytes(1_234_565) + b"island" + bytes(3_000_001 - 1_234_571)
    site.guest.must(f"rm {ROOT}/holes.bin")


def test_a_file_that_the_page_cache_does_not_have(server: Web) -> None:
    # Its file system makes pages for each who reads it.
    folder = "/sys/kernel/btf"
    expected = server.guest.pull(f"{folder}/vmlinux")
    assert len(expected) > 1 << 20
    with server.served(root=folder):
        response = server.curl("/vmlinux")
        assert (response.status, response.content == expected) == (200, True)
        part = server.curl("/vmlinux", "-r", "1000001-1999999")
        assert (part.status, part.content == expected[1_000_001:2_000_000]) == (206, True)


def test_types(site: Web) -> None:
    for name, media in (
        ("hello.txt", "text/plain; charset=utf-8"),
        ("page.html", "text/html; charset=utf-8"),
        ("with-index/", "text/html; charset=utf-8"),
        ("1k.bin", "application/octet-stream"),
    ):
        assert site.curl(f"/{name}").fields["content-type"] == media


def test_folders(site: Web) -> None:
    assert site.curl("/with-index/").content == FILES["with-index/index.html"]
    moved = site.curl("/folder")
    assert (moved.status, moved.fields["location"]) == (301, "/folder/")
    assert site.curl("/folder", "-L").status == 200
    assert site.curl("/hello.txt/").status == 404
    assert site.curl("/link.txt").content == FILES["hello.txt"]


def test_a_listing_names_what_is_there_and_leads_to_it(site: Web) -> None:
    listing = site.curl("/")
    assert (listing.status, listing.fields["cache-control"]) == (200, "no-store")
    links = re.findall(r'href="(\./[^"]*)"', listing.content.decode())
    names = [unquote(link.removeprefix("./")) for link in links]
    files = {name for name in FILES if "/" not in name}
    assert files | {"folder/", "with-index/"} <= set(names)
    # Folders first, then by name.
    folders = [name for name in names if name.endswith("/")]
    assert names == sorted(folders) + sorted(name for name in names if name not in folders)
    odd = next(link for link in links if unquote(link).startswith("./a b"))
    assert site.curl("/" + odd.removeprefix("./")).content == b"odd\n"
    assert b"<\xc3\xbc>" not in listing.content


def test_what_is_not_given_out(site: Web) -> None:
    for path, status in (
        ("/nothing", 404),
        ("/hello.txt/x", 404),
        ("/out", 404),
        ("/absolute", 404),
        ("/etc/boot-modules", 404),
        ("/private.txt", 403),
        ("/closed/", 403),
        ("/closed/x", 403),
        ("/pipe", 403),
        ("/null", 403),
        ("/..", 400),
        ("/../secret", 400),
        ("/folder/../../secret", 400),
        ("/%2e%2e/secret", 400),
        ("/..%2fsecret", 400),
        ("/folder/%2e./%2e%2e/secret", 400),
        ("/.%00./secret", 400),
        ("/" + "x" * 300, 404),
        ("/" + "x/" * 500, 404),
        ("/" + "x" * 2000, 414),
        ("/" + "x" * 5000, 414),
    ):
        response = site.curl(path)
        assert response.status == status, path
        assert b"secret\n" != response.content


def test_renames_elsewhere_disturb_nobody(server: Web) -> None:
    # Each ".." makes the kernel look whether anything was renamed since the lookup began.
    winding = "folder/../" * 400 + "hello.txt"
    server.guest.must(
        f"ln -s {winding} {ROOT}/winding.txt; mkdir /tmp/renamed; cd /tmp/renamed; >a"
    )
    with server.served():
        ended = "/tmp/renamed/end"
        renaming = server.guest.start(
            f"cd /tmp/renamed; while [ ! -e {ended} ]; do mv a b; mv b a; done", timeout=120
        )
        got = [server.curl("/winding.txt", "-r", "0-9").status for _ in range(50)]
        server.guest.must(f">{ended}")
        server.guest.finish(renaming)
    server.guest.must(f"rm -r {ROOT}/winding.txt /tmp/renamed")
    assert set(got) == {206}, got


def test_a_change_is_seen_at_once(server: Web) -> None:
    with server.served(cache_ms=0):
        # Twice in a moment, and of the same size.
        for text in ("first", "again", "third"):
            server.guest.must(f"echo {text} >{ROOT}/changing.txt")
            assert server.curl("/changing.txt").content.decode() == f"{text}\n"
        # One that is kept
        settle(server)
        assert server.curl("/changing.txt").content == b"third\n"
        server.guest.must(f"echo after >{ROOT}/changing.txt")
        assert server.curl("/changing.txt").content == b"after\n"
        server.guest.must(f"rm {ROOT}/changing.txt")
        assert server.curl("/changing.txt").status == 404


def test_a_change_is_seen_after_a_moment(server: Web) -> None:
    path = f"{ROOT}/kept.txt"
    server.guest.must(f"echo before >{path}")
    settle(server)

    def get() -> Response:
        return server.curl("/kept.txt")

    with server.served():  # a second
        assert get().content == b"before\n"
        server.guest.must(f"echo after >{path}")
        assert eventually(lambda: get().content == b"after\n", 3)
        server.guest.must(f"rm {path}")
        assert eventually(lambda: get().status == 404, 3)
    server.guest.must(f"echo before >{path}")
    settle(server)
    with server.served(cache_ms=3_600_000):
        assert get().content == b"before\n"
        server.guest.must(f"echo after >{path}")
        # What is kept is believed, until a request has the file looked up.
        assert get().content == b"before\n"
        assert server.curl("/kept.txt", "-r", "0-2").content == b"aft"
        assert get().content == b"after\n"
    server.guest.must(f"rm {path}")


def test_a_file_that_shrinks_breaks_the_response(site: Web) -> None:
    site.guest.must(f"head -c 30000000 /dev/zero >{ROOT}/shrinks.bin")
    with socket.create_connection(site.address, 10) as connection:
        connection.sendall(b"GET /shrinks.bin HTTP/1.1\r\nHost: h\r\n\r\n")
        connection.recv(1000)
        site.guest.must(f": >{ROOT}/shrinks.bin")
        received = 0
        try:
            while piece := connection.recv(1 << 16):
                received += len(piece)
        except ConnectionResetError:
            pass  # what the server sends, if QEMU passes it on as it is
        assert received < 30_000_000
        assert statistics(site.guest, "khttpd")["closed_by_handler_error"] == 1
    site.guest.must(f"rm {ROOT}/shrinks.bin")


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


def test_ranges(site: Web) -> None:
    large = FILES["large.bin"]
    for name, wanted, part in (
        ("hello.txt", "0-4", b"hello"),
        ("hello.txt", "7-", b"web\n"),
        ("hello.txt", "-4", b"web\n"),
        ("large.bin", "1000000-1000009", large[1_000_000:1_000_010]),
        ("large.bin", f"{LARGE - 3}-{LARGE + 3}", large[-3:]),
    ):
        response = site.curl(f"/{name}", "-r", wanted)
        assert (response.status, response.content) == (206, part)
        assert response.fields["content-range"].endswith(f"/{len(FILES[name])}")
    outside = site.curl("/hello.txt", "-r", "11-")
    assert (outside.status, outside.fields["content-range"]) == (416, "bytes */11")
    # Several parts at once may be answered with the whole.
    assert site.curl("/hello.txt", "-r", "0-1,3-4").status == 200


def test_a_download_goes_on_where_it_was_cut(site: Web, tmp_path: Path) -> None:
    path = tmp_path / "part"
    path.write_bytes(FILES["large.bin"][:1_234_567])
    assert site.curl("/large.bin", "-C", "-", "-o", str(path)).status == 206
    assert path.read_bytes() == FILES["large.bin"]


def test_conditions(site: Web) -> None:
    response = site.curl("/hello.txt")
    tag, changed = response.fields["etag"], response.fields["last-modified"]
    time_of = parsedate_to_datetime(changed).timestamp()
    earlier = formatdate(time_of - 1, usegmt=True)
    for field, status in (
        (f"If-None-Match: {tag}", 304),
        (f'If-None-Match: "x", W/{tag}', 304),
        ("If-None-Match: *", 304),
        ('If-None-Match: "x"', 200),
        (f"If-Modified-Since: {changed}", 304),
        (f"If-Modified-Since: {earlier}", 200),
        ("If-Modified-Since: soon", 200),
        (f"If-Match: {tag}", 200),
        ('If-Match: "x"', 412),
        (f"If-Unmodified-Since: {earlier}", 412),
        (f"If-Unmodified-Since: {changed}", 200),
    ):
        response = site.curl("/hello.txt", "-H", field)
        assert response.status == status, field
        assert (response.content == FILES["hello.txt"]) == (status == 200)
    for field, status in ((tag, 206), ('"x"', 200), (changed, 206), (earlier, 200)):
        assert site.curl("/hello.txt", "-r", "0-1", "-H", f"If-Range: {field}").status == status


def test_dates(site: Web) -> None:
    date = parsedate_to_datetime(site.curl("/").fields["date"]).timestamp()
    # The clock of the guest is that of this machine.
    assert abs(date - time.time()) < 3


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


# Load


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
