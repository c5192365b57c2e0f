# SPDX-License-Identifier: GPL-2.0
"""The guests of the laboratory, and the load generator in them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import accel, distribution, kernel, module, qemu, ui, vm
from . import programs, servers, web
from .servers import Server

MEMORY = "4G"
CPUS = 2
BOOT_SECONDS = 300.0

# A limit for a call of the load generator, in seconds of the guest
CALL_SECONDS = 300.0

# The exit status of a load generator that has measured, with failures
UNANSWERED = 1

# A report of `ktcp-bench --json`
Report = dict[str, Any]


@dataclass(frozen=True)
class Laboratory:
    """The kernel, modules and programs of the guests."""

    kernel: kernel.Kernel
    modules: tuple[Path, ...]
    programs: dict[str, bytes]

    @staticmethod
    def prepare() -> Laboratory:
        """Builds everything that the guests need."""
        chosen = distribution.prepare()
        modules = module.build(chosen, quiet=True)
        return Laboratory(chosen, tuple(modules.glob("*.ko")), {**programs.files(), **web.files()})

    @contextmanager
    def guest(
        self,
        name: str,
        *,
        icount: bool = False,
        options: Sequence[str] = (),
    ) -> Iterator[vm.Guest]:
        """Boots a guest with the settings of a machine that is a server."""
        guest = vm.Guest(
            self.kernel,
            self.modules,
            accel=accel.choose(self.kernel),
            name=name,
            files=self.programs,
            cpus=1 if icount else CPUS,
            # As a kernel copies where it is used
            cpu=qemu.MAX_CPU,
            memory=MEMORY,
            boot_seconds=BOOT_SECONDS,
            icount=icount,
            options=options,
        )
        with guest:
            # A server's queue of connections that it has not accepted may be as long as it likes.
            guest.must("echo 65535 >/proc/sys/net/core/somaxconn")
            # A gibibyte of answers is under way at most: as much memory as a machine that is made for
            # that has for TCP, in pages. With less, the result depends on which server gets the last of it.
            guest.must("echo 400000 500000 600000 >/proc/sys/net/ipv4/tcp_mem")
            # TIME_WAIT keeps a port for a minute.
            guest.must("echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range")
            # A client that happens to have a server's port would keep the server from listening.
            ports = ",".join(str(server.port) for server in (*servers.ALL, *web.SERVERS))
            guest.must(f"echo {ports} >/proc/sys/net/ipv4/ip_local_reserved_ports")
            yield guest


def load(guest: vm.Guest, server: Server, arguments: str, *, strict: bool = True) -> Report:
    """Runs the load generator against a server; its report.

    `strict`: raises `Fail` if anything was not answered. Otherwise the report tells.
    """
    # In one command: there are hundreds, and each takes a guest a moment.
    outcome = guest.run(
        f"rm -f /run/report; ktcp-bench {server.protocol} --connect {server.address} --quiet "
        f"--json /run/report {arguments} >/run/said 2>&1; status=$?; "
        "cat /run/report 2>/dev/null || cat /run/said; exit $status",
        timeout=CALL_SECONDS,
    )
    if outcome.status != 0 and (strict or outcome.status != UNANSWERED):
        raise ui.Fail(
            f"{server.name} did not answer everything ({arguments}): "
            f"status {outcome.status}\n{outcome.output}",
            f"the guest's console is in {guest.log}",
        )
    report: Report = json.loads(outcome.output)
    return report


def answers(report: Report) -> dict[str, Any]:
    """Returns the part of a report about the answers, whatever the protocol."""
    found: dict[str, Any] = report["http" if "http" in report else "echo"]
    return found
