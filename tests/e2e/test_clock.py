# SPDX-License-Identifier: GPL-2.0
"""Time that passes, while the clock that tells the date is set."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from email.utils import parsedate_to_datetime

import pytest

from ktcp import vm
from . import web
from .web import Web

HOUR = 3600

# An upload that does not end: the library has no timeout for one of which a byte comes now and then.
UPLOAD = b"POST /hello.txt HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n"


@contextmanager
def clock_set(guest: vm.Guest, seconds: int) -> Iterator[None]:
    """Sets the clock of the guest forward or back, until the block ends."""
    try:
        guest.must(f"date -s @{time.time() + seconds:.0f}")
        yield
    finally:
        guest.must(f"date -s @{time.time():.0f}")


def drip(connection: socket.socket, seconds: float) -> bytes:
    """Sends a byte now and then until an answer comes, for so long at most; the answer."""
    deadline = time.monotonic() + seconds
    connection.settimeout(0.1)
    while time.monotonic() < deadline:
        with suppress(TimeoutError):
            connection.sendall(b"x")
            if answer := connection.recv(1 << 16):
                return answer
    return b""


@pytest.mark.parametrize("hours", [1, -1])
def test_an_upload_times_out_when_its_time_is_over(server: Web, hours: int) -> None:
    seconds = 3
    with server.served(receive_timeout_ms=1000 * seconds, stats=1):
        with socket.create_connection(server.address, 20) as connection:
            started = time.monotonic()
            connection.sendall(UPLOAD)
            assert server.curl("/nothing").status == 404
            with clock_set(server.guest, HOUR * hours):
                assert web.statuses(drip(connection, 30)) == [408]
                assert time.monotonic() - started >= seconds
                page = server.curl("/_ktcp/stats.json")
        stats = json.loads(page.content)
        assert seconds <= stats["uptime_seconds"] < 600
        # What was asked for before the clock was set
        assert sum(stats["responses_per_second"]) >= 1
        # The date is what the clock says.
        date = parsedate_to_datetime(page.fields["date"]).timestamp()
        assert abs(date - time.time() - HOUR * hours) < 60
