# SPDX-License-Identifier: GPL-2.0
"""Loading and unloading: everything that can go wrong there, and everybody who may be in the way."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable

import pytest

from ktcp import conversation, run, vm
from ktcp.conversation import Address
from .lab import (
    DRAIN_SECONDS,
    PORT,
    RMMOD_SECONDS,
    Lab,
    anything_left,
    echoed,
    eventually,
    fill,
    is_ended,
    listens,
    loaded,
    patience,
    rmmod,
    script,
)


def load_again(lab: Lab, guest: vm.Guest) -> None:
    """The port has to be free for kecho at once."""
    outcome = guest.insmod("kecho", **run.REACHABLE)
    assert outcome.status == 0, outcome.output
    run.wait_for_echo(guest, lab.address)


# Loading


def test_modinfo_names_the_library(lab: Lab) -> None:
    kecho = next(path for path in lab.modules if path.name == "kecho.ko")
    result = subprocess.run(
        ["modinfo", "-F", "depends", kecho], check=True, capture_output=True, text=True
    )
    assert result.stdout.strip() == "ktcp_server"


def test_kecho_does_not_load_without_the_library(guest: vm.Guest) -> None:
    outcome = guest.insmod("kecho")
    assert outcome.status != 0
    assert "unknown symbol" in outcome.output
    assert "kecho: Unknown symbol _R" in guest.dmesg()
    assert not anything_left(guest)


def test_library_stays_while_it_is_used(kecho: Address, guest: vm.Guest) -> None:
    outcome = guest.run("rmmod ktcp_server")
    assert outcome.status != 0
    assert "Resource temporarily unavailable" in outcome.output
    assert conversation.answers(kecho, 5)


def test_library_unloads_after_its_user(kecho: Address, guest: vm.Guest) -> None:
    run.unload(guest)
    assert not {"kecho", "ktcp_server"} & loaded(guest)


def test_second_load_is_refused(kecho: Address, guest: vm.Guest) -> None:
    for name in ("kecho", "ktcp_server"):
        outcome = guest.insmod(name)
        assert outcome.status != 0
        assert "File exists" in outcome.output
    assert conversation.answers(kecho, 5)


def test_busy_port_refuses_the_load(lab: Lab, guest: vm.Guest) -> None:
    occupant = guest.start(f"nc -l -p {PORT}", timeout=60)
    assert eventually(lambda: listens(guest))
    guest.must("insmod /modules/ktcp_server.ko")
    outcome = guest.insmod("kecho")
    assert outcome.status != 0
    assert "Address in use" in outcome.output or "Address already in use" in outcome.output
    assert "kecho" not in loaded(guest)
    guest.must("killall nc")
    guest.finish(occupant)
    assert not anything_left(guest)
    load_again(lab, guest)


def test_port_0_becomes_one_of_the_kernels_choice(guest: vm.Guest) -> None:
    guest.must("insmod /modules/ktcp_server.ko")
    assert guest.insmod("kecho", port=0).status == 0
    line = [line for line in guest.dmesg().splitlines() if "kecho: listening on" in line][-1]
    port = int(line.rpartition(":")[2])
    assert port != 0 and listens(guest, port)
    assert guest.must(f"echo hello | nc 127.0.0.1 {port}") == "hello\n"


def test_twenty_loads_and_unloads_leave_nothing(guest: vm.Guest) -> None:
    guest.must("insmod /modules/ktcp_server.ko")
    guest.must(script("loads", 20, "kecho"), timeout=60)
    assert not anything_left(guest)


# Unloading while clients are connected


def test_idle_clients_are_ended_in_time(lab: Lab, kecho: Address, guest: vm.Guest) -> None:
    clients = [echoed(kecho) for _ in range(10)]
    # There is nothing to send to anyone, so nothing to wait for.
    assert rmmod(guest) < DRAIN_SECONDS - 1
    assert not anything_left(guest)
    load_again(lab, guest)
    assert all(is_ended(client) for client in clients)


def stuff(connection: socket.socket) -> None:
    """Sends until neither kecho nor any buffer on the way takes more, and reads nothing."""
    try:
        with patience(connection, 1.0):
            while True:
                connection.sendall(bytes(1 << 16))
    except TimeoutError:
        pass


def test_clients_that_never_read_are_ended_in_time(
    lab: Lab, kecho: Address, guest: vm.Guest
) -> None:
    clients = [echoed(kecho) for _ in range(2)]
    for client in clients:
        stuff(client)
    assert rmmod(guest) < RMMOD_SECONDS
    assert not anything_left(guest)
    load_again(lab, guest)
    assert all(is_ended(client) for client in clients)


def in_background(work: Callable[[], object], count: int) -> list[threading.Thread]:
    workers = [threading.Thread(target=work, daemon=True) for _ in range(count)]
    for worker in workers:
        worker.start()
    return workers


def test_clients_in_mid_transfer_are_ended_in_time(
    lab: Lab, kecho: Address, guest: vm.Guest
) -> None:
    endless = os.urandom(1 << 16)
    moving = threading.Semaphore(0)

    def transfer() -> None:
        with echoed(kecho) as connection:
            try:
                for count in range(100_000):
                    connection.sendall(endless)
                    if conversation.receive(connection, len(endless)) != endless:
                        return
                    if count == 5:
                        moving.release()
            except OSError:
                pass

    workers = in_background(transfer, 6)
    for _ in workers:
        assert moving.acquire(timeout=30)
    assert rmmod(guest) < RMMOD_SECONDS
    assert not anything_left(guest)
    for worker in workers:
        worker.join(15)
    assert not any(worker.is_alive() for worker in workers)
    load_again(lab, guest)


def test_clients_that_keep_coming_are_ended_in_time(
    lab: Lab, kecho: Address, guest: vm.Guest
) -> None:
    ended = threading.Event()

    def knock() -> None:
        while not ended.is_set():
            conversation.answers(kecho, 1.0)

    workers = in_background(knock, 8)
    try:
        time.sleep(1)
        assert rmmod(guest) < RMMOD_SECONDS
        assert not anything_left(guest)
        load_again(lab, guest)
    finally:
        ended.set()
    for worker in workers:
        worker.join(15)


def test_suspended_client_is_ended_in_time(lab: Lab, kecho: Address, guest: vm.Guest) -> None:
    # The client of an earlier server, stopped by Ctrl-Z, kept the port busy for the next insmod.
    client = guest.start(f"yes | nc 127.0.0.1 {PORT} >/dev/null", timeout=60)
    assert eventually(lambda: guest.run("pidof nc").status == 0)
    time.sleep(1)
    guest.must("killall -STOP nc")
    assert rmmod(guest) < RMMOD_SECONDS
    assert not anything_left(guest)
    load_again(lab, guest)
    guest.must("killall -9 nc")
    guest.finish(client)


def unsent(guest: vm.Guest) -> list[int]:
    """For each connection of kecho, the bytes that its socket has not got rid of yet."""
    rows = [line.split() for line in guest.must("cat /proc/net/tcp").splitlines()[1:]]
    return [
        int(row[4].split(":")[0], 16)
        for row in rows
        if row[1].endswith(f":{PORT:04X}") and row[3] == "01"
    ]


def test_clients_in_the_guest_that_never_read_are_ended_in_time(
    lab: Lab, kecho: Address, guest: vm.Guest
) -> None:
    # Without QEMU's network in between, which has large buffers of its own. wget reads nothing
    # before it has sent everything.
    fill(guest, "/tmp/body", "y", 50)
    command = f"wget -q -O /dev/null --post-file /tmp/body http://127.0.0.1:{PORT}/"
    clients = [guest.start(command, timeout=60) for _ in range(3)]
    assert eventually(lambda: len(unsent(guest)) == 3 and min(unsent(guest)) > 0)
    time.sleep(1)
    assert len(unsent(guest)) == 3 and min(unsent(guest)) > 0
    assert rmmod(guest) < RMMOD_SECONDS
    assert not anything_left(guest)
    load_again(lab, guest)
    for client in clients:
        guest.finish(client)
    guest.must("rm /tmp/body")
