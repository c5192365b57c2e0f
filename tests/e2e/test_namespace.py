# SPDX-License-Identifier: GPL-2.0
"""A module that is loaded within a network namespace serves there, for as long as it is loaded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ktcp import userland, vm
from .lab import (
    CROWD,
    Lab,
    anything_left,
    counted,
    crowd_program,
    eventually,
    listens,
    rmmod,
    script,
    statistics,
)

EXECUTORS = ("event_loop", "workqueue", "kthread")
IP = "/usr/bin/ip"


@pytest.fixture(scope="module")
def machine(lab: Lab) -> Iterator[vm.Guest]:
    files = {**crowd_program(), **userland.programs(["ip"])}
    own = Lab(lab.kernel, lab.modules, lab.accel, "namespace", files=files, drivers=["veth"])
    yield own.lend()
    own.take_back()
    own.close()


@pytest.fixture
def inside(machine: vm.Guest) -> Iterator[vm.Guest]:
    machine.must(script("line", "inside"))
    machine.must("insmod /modules/ktcp_server.ko")
    yield machine
    machine.run(f"killall -9 nc; {IP} netns del inside; rmmod kecho; rmmod ktcp_server")
    assert eventually(lambda: not is_there(machine))


def within(command: str) -> str:
    """A command that runs within the namespace."""
    return f"{IP} netns exec inside {command}"


def is_there(guest: vm.Guest) -> bool:
    """Whether the namespace is: with it goes this end of the line, too."""
    return guest.run(f"{IP} link show near").status == 0


def load(guest: vm.Guest, executor: str) -> None:
    guest.must(within(f"insmod /modules/kecho.ko addr=0.0.0.0 executor={executor}"))


def answers(guest: vm.Guest, addr: str, prefix: str = "") -> bool:
    return guest.run(f"echo hello | {prefix} nc -w 5 {addr} 12345").output == "hello\n"


@pytest.mark.parametrize("executor", EXECUTORS)
def test_it_serves_where_it_was_loaded(inside: vm.Guest, executor: str) -> None:
    load(inside, executor)
    assert answers(inside, "127.0.0.1", within("env"))
    assert answers(inside, "10.9.0.2")
    # Here nobody listens, and the port is free for another.
    assert not listens(inside)
    assert not answers(inside, "127.0.0.1")
    occupant = inside.start("nc -l -p 12345", timeout=60)
    assert eventually(lambda: listens(inside))
    inside.must("killall -9 nc")
    inside.finish(occupant)
    assert statistics(inside)["accepted"] == 2
    rmmod(inside)
    assert not anything_left(inside)
    assert not answers(inside, "10.9.0.2")
    assert is_there(inside)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_namespace_lives_until_its_server_stops(inside: vm.Guest, executor: str) -> None:
    load(inside, executor)
    client = inside.start(f"{CROWD} transfer --clients 4 --bytes 3000000 --addr 10.9.0.2:12345", 90)
    assert eventually(lambda: statistics(inside)["bytes_out"] > 100_000)
    # No process is there, and now no name: what is left of it are the sockets of the server.
    inside.must(f"{IP} netns del inside")
    counts = counted(inside.finish(client).output)
    assert counts["complete"] == 4 and counts["corrupt"] == 0, counts
    assert is_there(inside)
    assert answers(inside, "10.9.0.2")

    # Connections that are open do not keep it either, nor do they keep the server.
    client = inside.start("sleep 60 | nc 10.9.0.2 12345", timeout=90)
    assert eventually(lambda: statistics(inside)["open"] == 1)
    rmmod(inside)
    assert not anything_left(inside)
    assert eventually(lambda: not is_there(inside))
    inside.run("killall -9 nc sleep")
    inside.finish(client)
