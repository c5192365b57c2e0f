# SPDX-License-Identifier: GPL-2.0
"""CPUs that come, go, or are none of ours: the event loop has its loops all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ktcp import conversation, vm
from .lab import (
    EXECUTORS,
    CROWD,
    Lab,
    anything_left,
    crowd,
    crowd_program,
    eventually,
    rmmod,
    script,
    serve,
)

ONLINE = "/sys/devices/system/cpu/cpu1/online"


@pytest.fixture(scope="module")
def own(lab: Lab, proving: Path) -> Iterator[Lab]:
    own = Lab(lab.kernel, [*lab.modules, proving], lab.accel, "cpus", files=crowd_program())
    yield own
    own.close()


@pytest.fixture
def machine(own: Lab) -> Iterator[vm.Guest]:
    guest = own.lend()
    guest.must("insmod /modules/ktcp_server.ko")
    yield guest
    guest.must(f"echo 1 >{ONLINE}")
    own.take_back()


def threads(guest: vm.Guest, server: str) -> dict[str, str]:
    """The threads of a server, and on which CPUs each may run."""
    lines = [line.split() for line in guest.must(script("threads", server)).splitlines()]
    return {line[0]: line[2] for line in lines}


def loads_while_a_cpu_comes_and_goes(guest: vm.Guest, rounds: int, seconds: float) -> None:
    """Loads kecho so often, has some clients answered, and unloads it."""
    toggling = guest.start(script("toggle-cpu"), timeout=seconds + 60)
    guest.must(script("answered-loads", rounds), timeout=seconds)
    guest.must("rm /tmp/toggling")
    guest.finish(toggling)
    assert not anything_left(guest)


@pytest.mark.limit(400)
def test_loads_while_a_cpu_comes_and_goes(machine: vm.Guest) -> None:
    loads_while_a_cpu_comes_and_goes(machine, 200, seconds=300)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_clients_while_a_cpu_comes_and_goes(machine: vm.Guest, executor: str) -> None:
    serve(machine, executor)
    toggling = machine.start(script("toggle-cpu"), timeout=90)
    counts = crowd(machine, "storm", seconds=5, clients=20, bytes=50_000)
    assert counts["corrupt"] == 0 and counts["complete"] > 0, counts
    assert crowd(machine, "ask", clients=50)["complete"] == 50
    machine.must("rm /tmp/toggling")
    machine.finish(toggling)
    rmmod(machine, "proving")
    assert not anything_left(machine, "proving")


@pytest.mark.parametrize("executor", ("event_loop", "softirq"))
def test_a_cpu_that_comes_back_has_its_loop(own: Lab, machine: vm.Guest, executor: str) -> None:
    machine.must(f"echo 0 >{ONLINE}")
    serve(machine, executor)
    assert "proving/loop1" in threads(machine, "proving")
    assert crowd(machine, "ask", clients=50)["complete"] == 50

    machine.must(f"echo 1 >{ONLINE}")
    assert eventually(lambda: threads(machine, "proving")["proving/loop1"] == "1")
    assert threads(machine, "proving")["proving/loop0"] == "0"
    assert crowd(machine, "ask", clients=50)["complete"] == 50
    # What it runs on, the 39th field: after the one in brackets, the 37th.
    stat = "sed 's/.*) //' $(dirname $(grep -l '^proving/loop1$' /proc/[0-9]*/comm))/stat"
    assert machine.must(stat).split()[36] == "1"

    # When it goes, what it had to do is done elsewhere.
    machine.must(f"echo 0 >{ONLINE}")
    assert crowd(machine, "ask", clients=50)["complete"] == 50
    assert conversation.answers(own.address, 10)
    rmmod(machine, "proving")
    assert not anything_left(machine, "proving")


@pytest.fixture(scope="module")
def isolated(lab: Lab, proving: Path) -> Iterator[vm.Guest]:
    """A guest whose second CPU is kept from all that does not ask for it."""
    modules = [*lab.modules, proving]
    cmdline = ("isolcpus=1", "nohz_full=1")
    own = Lab(lab.kernel, modules, lab.accel, "isolated", files=crowd_program(), cmdline=cmdline)
    guest = own.lend()
    guest.must("insmod /modules/ktcp_server.ko")
    guest.must("mount -t tracefs tracefs /sys/kernel/tracing")
    yield guest
    own.take_back()
    own.close()


@pytest.mark.parametrize("executor", ("event_loop", "softirq"))
def test_an_isolated_cpu_is_left_alone(isolated: vm.Guest, executor: str) -> None:
    tracing = "/sys/kernel/tracing"
    isolated.must(f"echo >{tracing}/trace; echo 1 >{tracing}/events/ktcp_server/enable")
    serve(isolated, executor)
    found = threads(isolated, "proving")
    assert set(found) == {"proving/accept", "proving/loop0"}
    assert set(found.values()) == {"0"}
    # What these send arrives in a softirq of that CPU.
    line = f"taskset 2 {CROWD} ask --clients 50 --bytes 3000 --seconds 60"
    assert "complete 50" in isolated.must(line, timeout=90).splitlines()
    isolated.must(f"echo 0 >{tracing}/events/ktcp_server/enable")
    calls = isolated.must(f"grep -E 'ktcp_(receive|send)' {tracing}/trace").splitlines()
    assert len(calls) >= 50
    assert not [call for call in calls if "[001]" in call]
    rmmod(isolated, "proving")
    assert not anything_left(isolated, "proving")
