# SPDX-License-Identifier: GPL-2.0
"""The trace events, as an operator turns them on and reads them."""

from __future__ import annotations

import re
import socket
import struct

import pytest

from ktcp import conversation, run, vm
from ktcp.conversation import Address
from .lab import Lab, echoed, eventually, is_ended, open_connections

TRACING = "/sys/kernel/tracing"
EVENTS = f"{TRACING}/events/ktcp_server"

# `kecho/loop0-93  [000] ..... 12.345678: ktcp_send: server=kecho connection=0 peer=10.0.2.2:4 …`
LINE = re.compile(
    r": (?P<event>ktcp_\w+): server=(?P<server>\S+) (?:connection=(?P<connection>\d+) )?"
    r"peer=(?P<peer>[\d.]+:\d+)(?: bytes=(?P<bytes>\d+))?"
    r"(?: reason=(?P<reason>\w+) error=(?P<error>-?\d+))?$"
)


def events(guest: vm.Guest) -> list[re.Match[str]]:
    lines = guest.must(f"cat {TRACING}/trace").splitlines()
    found = [LINE.search(line) for line in lines if not line.startswith("#")]
    assert all(found), lines
    return [match for match in found if match]


def turn(guest: vm.Guest, on: bool) -> None:
    guest.must(f"grep -q ' {TRACING} ' /proc/mounts || mount -t tracefs tracefs {TRACING}")
    guest.must(f"echo > {TRACING}/trace; echo {int(on)} > {EVENTS}/enable")


def test_events_of_a_connection_are_traced(guest: vm.Guest, kecho: Address) -> None:
    turn(guest, on=True)
    try:
        payload = bytes(3000)
        with echoed(kecho) as connection:
            connection.sendall(payload)
            assert conversation.receive(connection, len(payload)) == payload
        assert eventually(lambda: any(event["reason"] for event in events(guest)))
        seen = events(guest)
    finally:
        turn(guest, on=False)

    # One connection, from its beginning to its end.
    assert {(event["server"], event["connection"], event["peer"]) for event in seen} == {
        ("kecho", seen[0]["connection"], seen[0]["peer"])
    }
    names = [event["event"] for event in seen]
    assert names[0] == "ktcp_accept" and names[-1] == "ktcp_close"
    for name in ("ktcp_receive", "ktcp_send"):
        moved = [int(event["bytes"]) for event in seen if event["event"] == name]
        assert sum(moved) == 1 + len(payload), name
    assert (seen[-1]["reason"], seen[-1]["error"]) == ("ended", "0")


def test_reset_is_told_with_its_error(guest: vm.Guest, kecho: Address) -> None:
    turn(guest, on=True)
    try:
        connection = echoed(kecho)
        # Closed at once, with what TCP has for that: a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        assert eventually(lambda: any(event["reason"] for event in events(guest)))
        last = events(guest)[-1]
    finally:
        turn(guest, on=False)
    assert (last["event"], last["reason"], last["error"]) == ("ktcp_close", "broken", "-104")


def test_nothing_is_traced_unless_asked_for(guest: vm.Guest, kecho: Address) -> None:
    turn(guest, on=False)
    with echoed(kecho):
        pass
    assert not events(guest)


@pytest.mark.parametrize(
    ("parameter", "reason"), [("max_connections", "limit"), ("max_per_peer", "peer_limit")]
)
def test_refused_newcomers_are_traced(
    lab: Lab, guest: vm.Guest, parameter: str, reason: str
) -> None:
    run.load(guest, **{parameter: 1})
    run.wait_for_echo(guest, lab.address)
    assert eventually(lambda: open_connections(guest) == 0)
    with echoed(lab.address):
        turn(guest, on=True)
        try:
            with conversation.connect(lab.address) as second:
                assert is_ended(second)
            seen = events(guest)
        finally:
            turn(guest, on=False)
    (refusal,) = seen
    assert (refusal["event"], refusal["server"]) == ("ktcp_refuse", "kecho")
    assert (refusal["connection"], refusal["reason"], refusal["error"]) == (None, reason, "0")
