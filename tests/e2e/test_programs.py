# SPDX-License-Identifier: GPL-2.0
"""The client programs that people use, inside of the guest, by IPv4 and by IPv6."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ktcp import userland, vm
from .lab import PORT, Lab

PROGRAMS = {
    "nc": "/usr/bin/nc -N {host} {port} </tmp/sent >/tmp/received",
    "socat": "/usr/bin/socat -t 10 - TCP:{bracketed}:{port} </tmp/sent >/tmp/received",
    # It ends with its input, and does not wait for what is still to come.
    "telnet": "(cat /tmp/sent; sleep 2) | /usr/bin/telnet {host} {port} | tail -n +4 >/tmp/received",
}


@pytest.fixture(scope="module")
def people(lab: Lab) -> Iterator[Lab]:
    """A lab whose guests have the programs of the build root."""
    own = Lab(lab.kernel, lab.modules, lab.accel, "programs", files=userland.programs(PROGRAMS))
    yield own
    own.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_program(people: Lab, program: str, host: str) -> None:
    guest: vm.Guest = people.lend()
    guest.must("insmod /modules/ktcp_server.ko")
    assert guest.insmod("kecho", addr="::").status == 0
    guest.must("for i in $(seq 300); do echo line $i of what a person might say; done >/tmp/sent")
    bracketed = f"[{host}]" if ":" in host else host
    guest.run(PROGRAMS[program].format(host=host, port=PORT, bracketed=bracketed))
    guest.must("cmp /tmp/sent /tmp/received")
    people.take_back()
