# SPDX-License-Identifier: GPL-2.0
"""The servers that are measured. All of them are up at once, each on a port of its own."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass

from .. import ui, vm

START_SECONDS = 60.0
DESCRIPTORS = 200_000
BACKLOG = 65_535


@dataclass(frozen=True)
class Server:
    """A server in the guest."""

    name: str
    what: str
    port: int
    # How the names of its threads begin
    threads: str
    # The command that starts it, and does not wait for it; {port} and {cpus} are filled in
    command: str
    protocol: str = "echo"

    @property
    def address(self) -> str:
        return f"{vm.LOCALHOST}:{self.port}"

    def start(self, guest: vm.Guest, cpus: int) -> None:
        guest.must(self.command.format(port=self.port, cpus=cpus), timeout=START_SECONDS)
        self._wait(guest)

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


def _peer(name: str, what: str, port: int, way: str) -> Server:
    listen = f"--listen {vm.LOCALHOST}:{{port}} --threads {{cpus}}"
    command = f"ulimit -n {DESCRIPTORS}; exec ktcp-peer {way} {listen} >/run/{name}.log 2>&1"
    return Server(name, what, port, "ktcp-peer", f"( {command} ) &")


KECHO = Server(
    "kecho",
    "this library, event loop",
    12345,
    "kecho",
    "insmod /modules/ktcp_server.ko && insmod /modules/kecho.ko port={port} "
    f"backlog={BACKLOG} max_connections={DESCRIPTORS}",
)
EPOLL = _peer("epoll", "user space, epoll", 12346, "epoll")
URING = _peer("io_uring", "user space, io_uring", 12347, "uring")
TOKIO = _peer("tokio", "user space, tokio", 12348, "tokio")

ALL = (KECHO, EPOLL, URING, TOKIO)


def that_speak(protocol: str, among: Iterable[Server]) -> list[Server]:
    return [server for server in among if server.protocol == protocol]


def chosen(among: Iterable[Server]) -> tuple[Server, ...]:
    """Those of the servers that the variable SERVERS names, or else all."""
    among = tuple(among)
    names = [name for name in os.environ.get("SERVERS", "").split(",") if name]
    known = {server.name: server for server in (*ALL, *among)}
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
