# SPDX-License-Identifier: GPL-2.0
"""Conditions and ranges: what of a content a client has already, and what it wants."""

from __future__ import annotations

import time
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

from .web import FILES, LARGE, ROOT, Web


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


def seconds(text: str) -> float:
    """A date of HTTP, in seconds since 1970."""
    return parsedate_to_datetime(text).timestamp()


def test_ranges_of_nothing_and_of_several_parts(site: Web) -> None:
    for name, wanted, status, told in (
        ("empty.txt", "-1", 200, None),
        ("empty.txt", "-100", 200, None),
        ("empty.txt", "-0", 416, "bytes */0"),
        ("empty.txt", "0-", 416, "bytes */0"),
        ("empty.txt", "0-0", 416, "bytes */0"),
        ("hello.txt", "-0", 416, "bytes */11"),
        ("hello.txt", "11-12,20-", 416, "bytes */11"),
        ("hello.txt", "20-,0-4", 206, "bytes 0-4/11"),
        ("hello.txt", "0-4,", 206, "bytes 0-4/11"),
        ("hello.txt", "0-99999999999999999999999", 206, "bytes 0-10/11"),
        # What is no range, and what takes several parts, is ignored.
        ("hello.txt", "5-4", 200, None),
        ("hello.txt", "20-,5-4", 200, None),
        ("hello.txt", "x", 200, None),
        ("hello.txt", "0-1,3-4", 200, None),
    ):
        response = site.ask(f"/{name}", f"Range: bytes={wanted}")
        assert (response.status, response.fields.get("content-range")) == (status, told), wanted
    for field in ("Range: lines=0-1", "Range: 0-1", "Range:"):
        assert site.ask("/hello.txt", field).status == 200, field


def test_a_change_is_never_later_than_the_date(site: Web) -> None:
    path = f"{ROOT}/future.txt"
    site.guest.must(f"echo future >{path}; touch -d '2038-01-01 00:00:00' {path}")
    for _ in range(3):  # the last ones would come from the cache
        response = site.ask("/future.txt")
        assert response.content == b"future\n"
        assert seconds(response.fields["last-modified"]) <= seconds(response.fields["date"])
        time.sleep(1.5)
    site.guest.must(f"rm {path}")
    # As soon as they are written
    for number in range(20):
        site.guest.must(f"echo {number} >{ROOT}/fresh.txt")
        fields = site.ask("/fresh.txt").fields
        assert seconds(fields["last-modified"]) <= seconds(fields["date"])
    site.guest.must(f"rm {ROOT}/fresh.txt")


def test_a_date_that_two_states_share_is_no_validator_for_a_range(site: Web) -> None:
    told = []
    for _ in range(5):
        site.guest.must(f"echo first >{ROOT}/shared.txt")
        told.append(site.ask("/shared.txt").fields["last-modified"])
    site.guest.must(f"echo other >{ROOT}/shared.txt")
    time.sleep(1.5)
    last = site.ask("/shared.txt")
    for date in told:
        response = site.ask("/shared.txt", "Range: bytes=1-2", f"If-Range: {date}")
        # Of the first states there is nothing to be had, whatever their date was.
        assert response.status == 200, (date, last.fields)
    date, tag = last.fields["last-modified"], last.fields["etag"]
    for validator, status in ((date, 206), (tag, 206), (f"W/{tag}", 200), ('"x"', 200), ("*", 200)):
        response = site.ask("/shared.txt", "Range: bytes=1-2", f"If-Range: {validator}")
        assert response.status == status, validator
    site.guest.must(f"rm {ROOT}/shared.txt")


def test_files_of_one_size_and_one_moment_have_other_tags(site: Web) -> None:
    site.guest.must(
        f"mkdir {ROOT}/twins; cd {ROOT}/twins; for n in $(seq 10 59); do echo $n >$n; done;"
        " ln -s 10 now"
    )
    tags = {site.ask(f"/twins/{n}").fields["etag"] for n in range(10, 60)}
    assert len(tags) == 50
    for n in range(10, 20):
        tag = site.ask("/twins/now").fields["etag"]
        site.guest.must(f"cd {ROOT}/twins; ln -sf {n + 1} now")
        # A request with a condition is looked up.
        response = site.ask("/twins/now", f"If-None-Match: {tag}")
        assert (response.status, response.content) == (200, f"{n + 1}\n".encode())
    site.guest.must(f"cd {ROOT}/twins; echo 1 >a; mv a now; echo 2 >b")
    tag = site.ask("/twins/now", "Range: bytes=5-").fields["etag"]
    site.guest.must(f"cd {ROOT}/twins; mv b now")
    assert site.ask("/twins/now", f"If-None-Match: {tag}").content == b"2\n"
    site.guest.must(f"rm -r {ROOT}/twins")


def test_conditions_on_what_has_no_tag(site: Web) -> None:
    long_ago = "Sat, 01 Jan 2000 00:00:00 GMT"
    for path in ("/", "/_ktcp/stats", "/_ktcp/stats.json"):
        for field, status in (
            ('If-Match: "x"', 412),
            ("If-Match: *", 200),
            ('If-None-Match: "x"', 200),
            ("If-None-Match: *", 304),
            (f"If-Unmodified-Since: {long_ago}", 200),
            (f"If-Modified-Since: {formatdate(time.time(), usegmt=True)}", 200),
            ("Range: bytes=0-1", 200),
        ):
            assert site.ask(path, field).status == status, (path, field)
    # Conditions count only where the response would be a success without them,
    for path, status in (("/nothing", 404), ("/private.txt", 403), ("/folder", 301)):
        for field in ("If-Match: *", 'If-Match: "x"', "If-None-Match: *", "Range: bytes=999-"):
            assert site.ask(path, field).status == status, (path, field)
    # and not for a method that asks for no content.
    for field in ('If-Match: "x"', "If-None-Match: *"):
        assert site.ask("/hello.txt", field, method="OPTIONS").status == 204
