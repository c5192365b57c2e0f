# SPDX-License-Identifier: GPL-2.0
"""Connections of a guest with this machine: forwarded ports of the loopback device, and a tap device."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from . import ui

LOCALHOST = "127.0.0.1"


@dataclass(frozen=True)
class Forward:
    """Connections to port `host` of this machine's loopback reach port `guest` of the guest."""

    host: int
    guest: int

    def option(self) -> str:
        return f"hostfwd=tcp:{LOCALHOST}:{self.host}-:{self.guest}"


@dataclass(frozen=True)
class Tap:
    """A cable to the guest's second device, eth1, from the tap device `name` in the network
    namespace `namespace` of this machine (`ip netns`). The guest is started in there, so that what
    it forwards can be reached from there only."""

    namespace: str
    name: str

    def enter(self) -> list[str]:
        """The beginning of a command that runs in the namespace."""
        return ["ip", "netns", "exec", self.namespace]

    def options(self) -> list[str]:
        device = f"tap,id=cable,ifname={self.name},script=no,downscript=no"
        return ["-netdev", device, "-device", "virtio-net-pci,netdev=cable,romfile="]


def check_port(port: int) -> None:
    """Raises `Fail` if nothing can listen on `port` of the loopback address."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As QEMU does: connections that linger in TIME_WAIT are no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOCALHOST, port))
            probe.listen()
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ui.Fail(
                    f"port {port} of {LOCALHOST} is in use by another program",
                    f"end that program (`ss -ltnp sport = :{port}` names it), "
                    f"or choose another port: `make run PORT={port + 1}`",
                ) from error
            raise ui.Fail(
                f"port {port} of {LOCALHOST} cannot be used: {error.strerror}",
                "choose another port: `make run PORT=12345`",
            ) from error


def free_port() -> int:
    """Returns a port of the loopback address that is free at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOCALHOST, 0))
        port: int = probe.getsockname()[1]
        return port
