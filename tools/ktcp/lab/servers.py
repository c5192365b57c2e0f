# SPDX-License-Identifier: GPL-2.0
"""The servers that are measured. All of them are up at once, each on a port of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

from .. import ui, vm, wires

START_SECONDS = 60.0
DESCRIPTORS = 200_000
BACKLOG = 65_535


@dataclass(frozen=True)
class Server:
    """A server in the guest."""

    name: str
    port: int
    # The beginning of the names of its threads
    threads: str
    # The command that starts it, and does not wait for it; {port} and {cpus} are filled in
    command: str
    # Its colour in charts, by number
    colour: int
    # The command that ends it
    stop_command: str
    protocol: str = "echo"

    @property
    def address(self) -> str:
        return f"{wires.LOCALHOST}:{self.port}"

    def start(self, guest: vm.Guest, cpus: int) -> None:
        guest.must(self.command.format(port=self.port, cpus=cpus), timeout=START_SECONDS)
        self._wait(guest)

    def stop(self, guest: vm.Guest) -> None:
        guest.must(self.stop_command, timeout=START_SECONDS)

    def _wait(self, guest: vm.Guest) -> None:
        deadline = time.monotonic() + START_SECONDS
        probe = f"ktcp-bench {self.protocol} --connect {self.address} --requests 1 --quiet"
        while (outcome := guest.run(probe)).status != 0:
            if time.monotonic() > deadline:
                said = guest.run(f"cat /run/{self.name}.log").output.strip()
                raise ui.Fail(
                    f"{self.name} does not answer: {said or outcome.output.strip()}",
                    f"the guest's console is in {guest.log}",
                )
            time.sleep(0.1)


# Another module may have it there already.
LIBRARY = "if ! [ -e /sys/module/ktcp_server ]; then insmod /modules/ktcp_server.ko; fi"


def kecho(name: str = "kecho", colour: int = 0, executor: str = "event_loop") -> Server:
    return Server(
        name,
        12345,
        "kecho",
        f"{LIBRARY} && insmod /modules/kecho.ko port={{port}} executor={executor} "
        f"backlog={BACKLOG} max_connections={DESCRIPTORS}",
        colour,
        "rmmod kecho",
    )


# A process without a waiting parent stays as a zombie; until it is one, it has sockets.
KILL_PEERS = (
    "pids=$(pidof ktcp-peer); kill -KILL $pids; for pid in $pids; do "
    "while grep -qs '^State:.[^Z]' /proc/$pid/task/*/status; do :; done; done"
)


def _peer(name: str, port: int, way: str, colour: int) -> Server:
    listen = f"--listen {wires.LOCALHOST}:{{port}} --threads {{cpus}}"
    command = f"ulimit -n {DESCRIPTORS}; exec ktcp-peer {way} {listen} >/run/{name}.log 2>&1"
    return Server(name, port, "ktcp-peer", f"( {command} ) &", colour, KILL_PEERS)


KECHO = kecho()
EPOLL = _peer("epoll", 12346, "epoll", 1)
URING = _peer("io_uring", 12347, "uring", 2)
TOKIO = _peer("tokio", 12348, "tokio", 3)

ALL = (KECHO, EPOLL, URING, TOKIO)


def that_speak(protocol: str, among: Iterable[Server]) -> list[Server]:
    return [server for server in among if server.protocol == protocol]


def chosen(among: Iterable[Server], others: Iterable[Server] = ()) -> tuple[Server, ...]:
    """The servers that the variable SERVERS names, which knows `others` too; or else `among`."""
    among = tuple(among)
    names = [name for name in os.environ.get("SERVERS", "").split(",") if name]
    known = {server.name: server for server in (*ALL, *among, *others)}
    if unknown := [name for name in names if name not in known]:
        raise ui.Fail(
            f"SERVERS names {', '.join(unknown)}, and there is no such server",
            f"they are, with commas between: {', '.join(known)}",
        )
    return tuple(known[name] for name in names) or among


def start(guest: vm.Guest, servers: Iterable[Server], cpus: int) -> None:
    """Starts the servers, user space's with a thread for each of `cpus`."""
    for server in servers:
        server.start(guest, cpus)
