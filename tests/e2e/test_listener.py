# SPDX-License-Identifier: GPL-2.0
"""A listener that an operator closes under its server (`ss -K`) is replaced by another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ktcp import conversation, userland, vm
from .lab import (
    EXECUTORS,
    PORT,
    Lab,
    anything_left,
    echoed,
    eventually,
    listens,
    loaded,
    rmmod,
    serve,
    statistics,
)

# Its words for a listener, which it closes all the same, are "Invalid argument".
SS = "/usr/bin/ss"
KILL = f"{SS} -K -ltn sport = :{PORT} >/dev/null 2>&1; true"

# An address that comes and goes
ADDRESS = "10.8.0.1"


@pytest.fixture(scope="module")
def own(lab: Lab, proving: Path) -> Iterator[Lab]:
    modules = [*lab.modules, proving]
    files = userland.programs(["ss", "ip"])
    own = Lab(lab.kernel, modules, lab.accel, "listener", files=files, drivers=["tcp_diag"])
    yield own
    own.close()


@pytest.fixture
def machine(own: Lab) -> Iterator[vm.Guest]:
    guest = own.lend()
    guest.must("dmesg -c >/dev/null; insmod /modules/ktcp_server.ko")
    yield guest
    own.take_back()


def kill(guest: vm.Guest, restarts: int) -> None:
    """Closes the listener, and waits for that many restarts since the start."""
    guest.must(KILL)
    assert eventually(lambda: statistics(guest, "proving")["listener_restarts"] == restarts)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_it_listens_again(own: Lab, machine: vm.Guest, executor: str) -> None:
    serve(machine, executor)
    bystander = echoed(own.address)
    for count in range(1, 4):
        kill(machine, count)
        assert listens(machine)
        assert conversation.answers(own.address, 10)
    # Those who were connected have noticed nothing.
    bystander.sendall(b"!")
    assert conversation.receive(bystander, 1) == b"!"
    assert statistics(machine, "proving")["accept_errors"] == 3
    lines = [line for line in machine.dmesg().splitlines() if "proving: " in line]
    assert len(lines) == 6, lines
    for gone, again in zip(lines[::2], lines[1::2]):
        assert f"the listener on 0.0.0.0:{PORT} was closed by another: EINVAL" in gone
        assert f"listening on 0.0.0.0:{PORT} again" in again
    rmmod(machine, "proving")
    assert not anything_left(machine, "proving")


def test_the_port_of_the_kernels_choice_is_kept(machine: vm.Guest) -> None:
    serve(machine, "event_loop", port=0)
    config = "grep ^listen /sys/kernel/debug/ktcp_server/proving/config"
    port = int(machine.must(config).rpartition(":")[2])
    machine.must(KILL.replace(str(PORT), str(port)))
    assert eventually(lambda: statistics(machine, "proving")["listener_restarts"] == 1)
    assert listens(machine, port)
    assert machine.must(f"echo hello | nc 127.0.0.1 {port}") == "hello\n"


def test_it_tries_until_it_can(machine: vm.Guest) -> None:
    machine.must(f"ip addr add {ADDRESS}/32 dev lo")
    serve(machine, "event_loop", addr=ADDRESS)
    # Without its address it cannot.
    machine.must(f"ip addr del {ADDRESS}/32 dev lo; {KILL}")
    assert eventually(lambda: statistics(machine, "proving")["accept_errors"] > 12)
    assert not listens(machine) and "proving" in loaded(machine)
    # It pauses without being a load.
    stat = "$(dirname $(grep -l '^proving/accept$' /proc/[0-9]*/comm))/stat"
    states = machine.must(f"for i in $(seq 50); do sed 's/.*) //; s/ .*//' {stat}; done").split()
    assert "I" in states and "D" not in states, states
    lines = [line for line in machine.dmesg().splitlines() if "proving: " in line]
    assert len(lines) == 2, lines
    assert f"cannot listen on {ADDRESS}:{PORT} again yet: EADDRNOTAVAIL" in lines[1]

    machine.must(f"ip addr add {ADDRESS}/32 dev lo")
    assert eventually(lambda: statistics(machine, "proving")["listener_restarts"] == 1)
    assert machine.must(f"echo hello | nc {ADDRESS} {PORT}") == "hello\n"

    # A server that cannot listen stops as any other.
    machine.must(f"ip addr del {ADDRESS}/32 dev lo; {KILL}")
    assert eventually(lambda: not listens(machine))
    assert rmmod(machine, "proving") < 5
    assert not anything_left(machine, "proving")


def test_unloading_leaves_no_new_listener(machine: vm.Guest) -> None:
    for delay in range(20):
        serve(machine, "event_loop")
        machine.must(f"{KILL}; usleep {delay * 500}; rmmod proving")
        assert not anything_left(machine, "proving")


def test_the_listener_of_mptcp_cannot_be_closed(own: Lab, machine: vm.Guest) -> None:
    serve(machine, "event_loop", mptcp="y")
    machine.must(KILL)
    assert conversation.answers(own.address, 10)
    assert statistics(machine, "proving")["listener_restarts"] == 0
