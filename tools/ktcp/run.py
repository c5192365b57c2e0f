# SPDX-License-Identifier: GPL-2.0
"""`make run`: kecho on the unmodified distribution kernel, and a user or a test that talks to it."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from . import accel, cli, conversation, distribution, module, terminal, ui, vm, wires
from .conversation import Address

# kecho's own default; it is the port of this machine that can be chosen.
GUEST_PORT = 12345
FIRST_ECHO_SECONDS = 30.0
# By default kecho listens on the loopback address, but QEMU forwards to the network device.
REACHABLE: Mapping[str, int | str] = {"addr": "0.0.0.0"}


class Times:
    """The durations of the stages up to the first echo."""

    def __init__(self) -> None:
        self._stages: list[tuple[str, float]] = []
        self._started = time.monotonic()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self._stages.append((name, time.monotonic() - started))

    def __str__(self) -> str:
        stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self._stages)
        return f"{time.monotonic() - self._started:.1f} s ({stages})"


def port() -> int:
    """The port of this machine that the user wants."""
    text = os.environ.get("PORT") or str(GUEST_PORT)
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ui.Fail(f"PORT={text} is no TCP port", "choose a number from 1 to 65535")
    return int(text)


def load(guest: vm.Guest, **parameters: int | str) -> None:
    """Loads the library, and kecho with those parameters, to be reached from outside of the guest."""
    for name, values in (("ktcp_server", {}), ("kecho", {**REACHABLE, **parameters})):
        outcome = guest.insmod(name, **values)
        if outcome.status != 0:
            raise ui.Fail(
                f"{name}.ko does not load into the kernel: {outcome.output.strip()}",
                f"the kernel may say more in {guest.log}",
            )


def wait_for_echo(guest: vm.Guest, address: Address) -> None:
    deadline = time.monotonic() + FIRST_ECHO_SECONDS
    while not conversation.answers(address, timeout=5.0):
        guest.must("true")  # says why if the guest is no more
        if time.monotonic() > deadline:
            raise ui.Fail(
                f"kecho is loaded, but no echo came back within {FIRST_ECHO_SECONDS:g} s",
                f"the kernel may say more in {guest.log}",
            )
        time.sleep(0.1)


def unload(guest: vm.Guest) -> None:
    guest.must("rmmod kecho")
    guest.must("rmmod ktcp_server")


def talk(guest: vm.Guest, address: Address) -> None:
    """Connects a user who types, if there is one; otherwise the tools hold the conversation."""
    if sys.stdin.isatty():
        terminal.converse(guest, address)
    else:
        print(conversation.summary(conversation.hold(address)), flush=True)


def finish(guest: vm.Guest) -> None:
    started = time.monotonic()
    unload(guest)
    guest.shutdown()
    seconds = time.monotonic() - started
    ui.say(f"unloaded kecho and ktcp_server, powered the guest off ({seconds:.1f} s)")


def run() -> None:
    times = Times()
    address = (wires.LOCALHOST, port())
    wires.check_port(address[1])
    with times.stage("kernel"):
        chosen = distribution.prepare()
    with times.stage("modules"):
        modules = module.build(chosen, quiet=True)
    with times.stage("choice of KVM or TCG"):
        accelerator = accel.choose(chosen)
    with ExitStack() as stack:
        with times.stage("boot"), ui.Progress(f"boot Linux {chosen.release} ({accelerator})"):
            guest = stack.enter_context(
                vm.Guest(
                    chosen,
                    modules.glob("*.ko"),
                    accel=accelerator,
                    name="run",
                    forwards=[wires.Forward(address[1], GUEST_PORT)],
                )
            )
        with times.stage("load and first echo"):
            load(guest)
            wait_for_echo(guest, address)
        ui.say(f"kecho answers at {address[0]}:{address[1]} after {times}")
        talk(guest, address)
        finish(guest)


def _run_command(_arguments: argparse.Namespace) -> int:
    run()
    return 0


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser("run", help="boot the kernel, load kecho and talk to it")
    command.set_defaults(call=_run_command)
