# SPDX-License-Identifier: GPL-2.0
"""Loading and unloading in a storm of clients, and servers with very many of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ktcp import conversation, vm
from .lab import (
    CROWD,
    EXECUTORS,
    PORT,
    Lab,
    anything_left,
    counted,
    crowd,
    crowd_program,
    eventually,
    listens,
    loaded,
    rmmod,
    script,
    serve,
    statistics,
)

# Those on which an idle connection costs no thread
LEAN = ("event_loop", "softirq", "workqueue")

# What takes long is done by `make test-long`, and in a run of all tests only for a while.
LONG = bool(os.environ.get("KTCP_LONG"))
ROUNDS = 200 if LONG else 24
FEW = tuple(EXECUTORS) if LONG else ("softirq",)


@pytest.fixture(scope="module")
def field(lab: Lab, proving: Path) -> Iterator[Lab]:
    """A lab whose guests have room for a crowd."""
    options = {"files": crowd_program(), "memory": "3G"}
    own = Lab(lab.kernel, [*lab.modules, proving], lab.accel, "storm", **options)
    yield own
    own.close()


@pytest.fixture
def machine(field: Lab) -> Iterator[vm.Guest]:
    guest = field.lend()
    guest.must("sysctl -qw net.ipv4.ip_local_port_range='1024 65000' net.core.somaxconn=4096")
    guest.must("insmod /modules/ktcp_server.ko")
    yield guest
    field.take_back()


@pytest.mark.limit(600)
def test_loads_and_unloads_in_a_storm_succeed(field: Lab, machine: vm.Guest) -> None:
    """Clients connect, talk, sit suspended and reset, while the server comes and goes."""
    seconds = 550
    line = f"exec {CROWD} storm --clients 40 --bytes 60000 --seconds {seconds}"
    storm = machine.start(f"{line} >/tmp/storm", timeout=seconds)
    machine.must(script("suspended-crowd", seconds))
    machine.must(script("stormy-loads", ROUNDS), timeout=seconds - 30)
    assert not anything_left(machine, "proving")
    serve(machine, "event_loop")
    assert eventually(lambda: conversation.answers(field.address, 5))
    machine.must(
        "killall -CONT crowd; sleep 0.2; killall -INT crowd; sleep 0.2; killall -9 crowd; true"
    )
    machine.finish(storm)
    assert rmmod(machine, "proving") < 10
    machine.check()


def test_storm_on_each_executor_mixes_up_nothing(machine: vm.Guest) -> None:
    """Nobody is sent what was not theirs, and all is freed when all have left."""
    for executor in EXECUTORS:
        serve(machine, executor, output=10_000)
        counts = crowd(machine, "storm", seconds=15 if LONG else 3, clients=100, bytes=100_000)
        assert counts["corrupt"] == 0 and counts["complete"] > 50, (executor, counts)
        assert eventually(lambda: statistics(machine, "proving")["open"] == 0)
        rmmod(machine, "proving")


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_second_server_leaves_nothing(machine: vm.Guest, executor: str) -> None:
    serve(machine, executor)
    folders = machine.must("ls /sys/kernel/debug/ktcp_server")
    names = machine.must("cat /proc/[0-9]*/comm 2>/dev/null; true")
    for _ in range(20 if LONG else 5):
        outcome = machine.insmod("kecho")
        assert outcome.status != 0 and "in use" in outcome.output, outcome.output
    assert "kecho" not in loaded(machine)
    assert machine.must("ls /sys/kernel/debug/ktcp_server") == folders
    after = machine.must("cat /proc/[0-9]*/comm 2>/dev/null; true")
    assert after.count("proving/") == names.count("proving/") and "kecho" not in after
    assert crowd(machine, "ask", clients=20)["complete"] == 20


@pytest.mark.limit(240)
@pytest.mark.parametrize("executor", FEW)
def test_stops_in_time_before_a_thousand_who_never_read(machine: vm.Guest, executor: str) -> None:
    drain = 2.0
    parameters = {"output": 8192, "input": 8192, "backlog": 4096, "drain_ms": int(drain * 1000)}
    serve(machine, executor, **parameters)
    line = "ulimit -n 5000; exec crowd deaf --clients 1000 --seconds 200 >/tmp/deaf"
    clients = machine.start(line, timeout=220)
    assert eventually(lambda: "deaf" in machine.must("cat /tmp/deaf 2>/dev/null; true"), 150)
    assert machine.must("cat /tmp/deaf") == "deaf 1000\n"
    # They are connected before they are accepted.
    assert eventually(lambda: statistics(machine, "proving")["open"] == 1000)
    seconds = rmmod(machine, "proving")
    assert drain * 0.9 < seconds < drain + 5, seconds
    assert not listens(machine) and not anything_left(machine, "proving")
    # Who has seen that all connections have ended has ended too.
    machine.run("killall -9 crowd")
    machine.finish(clients)


@pytest.mark.limit(240)
def test_thousands_who_sleep_keep_nobody_waiting(field: Lab, machine: vm.Guest) -> None:
    """More handlers sleep than a workqueue of the kernel runs at once, and one more does not."""
    sleepers = 2200
    serve(machine, "workqueue", backlog=4096, sleepers=sleepers)
    # Each says one byte, and these calls sleep.
    line = f"ulimit -n 5000; exec {CROWD} ask --clients {sleepers} --seconds 200"
    asking = machine.start(line, timeout=220)
    workers = "cat /proc/[0-9]*/comm 2>/dev/null | grep -c '^kworker/u'"
    assert eventually(lambda: int(machine.must(workers)) > sleepers, 120)
    assert statistics(machine, "proving")["bytes_out"] == 0
    assert conversation.answers(field.address, 20)
    # With that they wake up.
    counts = counted(machine.finish(asking).output)
    assert counts["complete"] == sleepers, counts
    assert rmmod(machine, "proving") < 10


@pytest.mark.limit(300)
@pytest.mark.parametrize("executor", LEAN)
def test_one_among_ten_thousand_who_are_silent_is_answered(
    machine: vm.Guest, executor: str
) -> None:
    serve(machine, executor, connections=10_100, backlog=4096)
    time = {"for": 3 if LONG else 1}
    counts = crowd(machine, "talk", seconds=200, clients=10_000, **time)
    print(executor, counts)
    assert counts["idle"] == 10_000 and counts["corrupt"] == 0, counts
    # It does not wait for any of them, and all are there still.
    assert counts["echoes"] > 100 and counts["median_us"] < 20_000, counts
    assert counts["complete"] == 10_000, counts


@pytest.mark.limit(300)
@pytest.mark.skipif(not LONG, reason="takes long: `make test-long`")
@pytest.mark.parametrize("executor", LEAN)
def test_ten_thousand_who_ask_at_once_are_answered(machine: vm.Guest, executor: str) -> None:
    serve(machine, executor, connections=10_100, backlog=4096)
    counts = crowd(machine, "ask", seconds=200, clients=10_000, bytes=64)
    print(executor, counts)
    assert counts["connected"] == 10_000 and counts["complete"] == 10_000, counts


@pytest.mark.limit(900)
@pytest.mark.skipif(not LONG, reason="takes minutes: `make test-long`")
@pytest.mark.parametrize("executor", EXECUTORS)
def test_more_than_two_gibibytes_from_one_peer_arrive(machine: vm.Guest, executor: str) -> None:
    """Beyond what fits into an `int`; others are served meanwhile."""
    serve(machine, executor)
    sent = (1 << 31) + (1 << 20)
    line = f"{CROWD} transfer --clients 1 --bytes {sent} --seconds 800"
    transfer = machine.start(line, timeout=850)
    assert eventually(lambda: statistics(machine, "proving")["bytes_out"] > 10 << 20)
    assert crowd(machine, "ask", clients=20)["complete"] == 20
    # Whatever came back was compared with what was sent, byte for byte.
    outcome = machine.finish(transfer)
    assert outcome.status == 0 and f"received {sent}" in outcome.output.splitlines(), outcome.output
    assert statistics(machine, "proving")["bytes_in"] > sent


@pytest.mark.limit(900)
@pytest.mark.skipif(not LONG, reason="takes minutes: `make test-long`")
def test_a_hundred_thousand_connections_are_served_and_freed(lab: Lab, field: Lab) -> None:
    """Open at once in a guest of 4 GiB; a part of them is served meanwhile, and all are freed."""
    with vm.Guest(
        lab.kernel, field.modules, accel=lab.accel, name="many", memory="4G", files=crowd_program()
    ) as guest:
        sysctls = ("ip_local_port_range='1024 65000'", "tcp_mem='400000 500000 600000'")
        guest.must(" && ".join(f"sysctl -qw net.ipv4.{setting}" for setting in sysctls))
        guest.must("sysctl -qw net.core.somaxconn=4096 fs.nr_open=2000000 fs.file-max=2000000")
        guest.must("insmod /modules/ktcp_server.ko")
        serve(guest, "event_loop", connections=110_000, backlog=4096)
        addresses = ",".join(f"127.0.0.{number}:{PORT}" for number in range(1, 5))
        free = f"grep -E '^(MemFree|Slab)' /proc/meminfo"
        before = guest.must(free)
        line = f"ulimit -n 1000000; exec crowd hold --clients 100000 --seconds 600 --addr {addresses} >/tmp/hold"
        clients = guest.start(line, timeout=620)
        held = "holding 100000\n"
        assert eventually(lambda: guest.must("cat /tmp/hold 2>/dev/null; true") == held, 500)
        assert statistics(guest, "proving")["open"] == 100_000
        print(before, guest.must(free))
        assert crowd(guest, "ask", clients=1000, bytes=3000)["complete"] == 1000
        assert rmmod(guest, "proving") < 60
        assert not anything_left(guest, "proving")
        guest.run("killall -9 crowd")
        guest.finish(clients)
