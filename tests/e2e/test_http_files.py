# SPDX-License-Identifier: GPL-2.0
"""Files and folders, as khttpd gives them out."""

from __future__ import annotations

import re
import socket
from urllib.parse import quote, unquote

from .lab import eventually, statistics
from .web import FILES, ROOT, Response, Web


def settle(server: Web) -> None:
    """Waits until what was changed just now counts as settled, and so may be kept."""
    server.guest.must("sleep 3")


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
        ("large.bin", "application/octet-stream"),
        ("type.woff2", "font/woff2"),
        ("type.webmanifest", "application/manifest+json"),
        ("type.vtt", "text/vtt; charset=utf-8"),
        ("type.FLAC", "audio/flac"),
        ("type.mp4", "video/mp4"),
        ("type.atom", "application/atom+xml"),
        ("type.tar.zst", "application/zstd"),
        ("type.unheard-of", "application/octet-stream"),
    ):
        if name.startswith("type."):
            site.guest.must(f"echo {name} >{ROOT}/{name}")
        for _ in range(2):
            fields = site.curl(f"/{name}").fields
            assert fields["content-type"] == media
            # A player may look at what it is, where it is not told.
            assert ("x-content-type-options" in fields) == (media != "application/octet-stream")
    site.guest.must(f"rm {ROOT}/type.*")


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


def test_an_index_that_leads_nowhere_is_none(server: Web) -> None:
    links = {
        "out": "../../secret",
        "self": "index.html",
        "gone": "nothing",
        "file": "../hello.txt/x",
        "absolute": f"{ROOT}/hello.txt",
        "folder": "../folder",
    }
    for name, target in links.items():
        server.guest.must(f"mkdir {ROOT}/index-{name}")
        server.guest.must(f"ln -s {target} {ROOT}/index-{name}/index.html")
    for listings, status in ((1, 200), (0, 403)):
        with server.served(listings=listings):
            for name in links:
                response = server.curl(f"/index-{name}/")
                assert (response.status, b"<table>" in response.content) == (status, listings), name
    with server.served():
        # One that is there and not for all is not given out, and nothing instead.
        server.guest.must(f"mkdir {ROOT}/index-private; cd {ROOT}/index-private")
        server.guest.must(f"ln -s ../private.txt {ROOT}/index-private/index.html")
        assert server.curl("/index-private/").status == 403
    server.guest.must(f"rm -r {ROOT}/index-*")


def test_an_absolute_link_is_not_followed_even_within_the_root(site: Web) -> None:
    site.guest.must(
        f"ln -s {ROOT}/hello.txt {ROOT}/within; ln -s {ROOT}/folder {ROOT}/within-folder"
    )
    for path in ("/within", "/within-folder", "/within-folder/", "/within-folder/one.txt"):
        assert site.curl(path).status == 404, path
    site.guest.must(f"rm {ROOT}/within {ROOT}/within-folder")


def test_a_listing_of_many_long_names(site: Web) -> None:
    # Each byte takes six in a page.
    start = "/long/" + "\\".join(["", *240 * '"'])
    site.guest.must(
        f"mkdir {ROOT}/long; cd {ROOT}; for n in $(seq 1000 1949); do >.{start}$n; done", timeout=60
    )
    listing = site.curl("/long/")
    site.guest.must(f"rm -r {ROOT}/long")
    assert listing.status == 200
    names = re.findall(r'href="\./([^"]*)"', listing.content.decode())
    assert [unquote(name) for name in names] == [240 * '"' + str(n) for n in range(1000, 1950)]
    assert b"Only" not in listing.content


def test_the_longest_path(site: Web) -> None:
    folder = "/".join([203 * "a", 203 * "b", 203 * "c", 203 * "d", 201 * "e"])
    assert len(folder) == 1017
    far = "f" * 100
    site.guest.must(f"mkdir -p {ROOT}/{folder}; cd {ROOT}/{folder}; echo near >near; >{far}")
    moved = site.curl(f"/{folder}")
    assert (moved.status, moved.fields["location"]) == (301, f"/{folder}/")
    listing = site.curl(f"/{folder}/")
    assert listing.status == 200
    assert re.findall(rb'href="(\./[^"]*)"', listing.content) == [b"./near"]
    assert far.encode() in listing.content
    assert site.curl(f"/{folder}/near").content == b"near\n"
    # It is shown without a link, for nothing leads there.
    assert site.curl(f"/{folder}/{far}").status == 414
    site.guest.must(f"cd {ROOT}/{folder}; echo index >index.html")
    # With the name of the page behind it, it is longer than any path that can be asked for.
    assert site.curl(f"/{folder}/").content == b"index\n"
    site.guest.must(f"rm -r {ROOT}/{203 * 'a'}")


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
