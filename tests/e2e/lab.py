# SPDX-License-Identifier: GPL-2.0
"""One guest for many tests, and what they do with it."""

from __future__ import annotations

import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ktcp import author, conversation, module, run, vm, wires
from ktcp.conversation import Address
from ktcp.kernel import Kernel
from ktcp.lab import programs

PORT = run.GUEST_PORT

# `rmmod` takes the time that kecho gives its clients (5 s) at most, and a little. "A little" is
# generous, for the guest shares two cores without virtualisation with everything else; how near to
# its deadline a server stops is seen in kunit/lifecycle.rs, where nothing is in between.
DRAIN_SECONDS = 5.0
RMMOD_SECONDS = DRAIN_SECONDS + 10.0

SOURCES = Path(__file__).parent / "modules"
# Programs for the guest
GUEST = Path(__file__).parent / "guest"
CROWD = "/bin/crowd"


def build_module(kernel: Kernel, name: str, folder: Path) -> Path:
    """The module `name` of the folder `modules/`, built as any author would, below `folder`."""
    command = ["make", "new", f"NAME={name}", f"DIR={folder / name}"]
    subprocess.run(command, cwd=module.CHECKOUT, check=True, capture_output=True)
    shutil.copyfile(SOURCES / f"{name}.rs", folder / name / f"{name}.rs")
    return author.build(kernel, folder / name)


def crowd_program() -> dict[str, bytes]:
    """The file of the crowd of clients, for a guest."""
    built = programs.build("ktcp-crowd", profile="dev")
    return {CROWD: built["ktcp-crowd"].read_bytes()}


# What runs the connections of the module `proving`, and its parameters for that. In softirq context
# a server answers with loops, too.
EXECUTORS = {
    "event_loop": {"executor": "event_loop"},
    "softirq": {"executor": "event_loop", "may_sleep": "n"},
    "workqueue": {"executor": "workqueue"},
    "kthread": {"executor": "kthread"},
}


def serve(guest: vm.Guest, executor: str, **parameters: int | str) -> None:
    """Loads the module `proving`; the library is there."""
    outcome = guest.insmod("proving", **EXECUTORS[executor], **parameters)
    assert outcome.status == 0, outcome.output


def script(name: str, *arguments: object) -> str:
    """The shell program NAME.sh of the folder `guest/`, as a command with these arguments."""
    program = (GUEST / f"{name}.sh").read_text()
    return f"set -- {shlex.join(map(str, arguments))}\n{program}"


# The modules that a test may leave. The library is the last, for it stays as long as it has users.
LEFT_LOADED = ("kecho", "chat", "minimal", "proving", "ktcp_server_kunit", "ktcp_server")


class Lab:
    """Lends out a running guest without our modules, and replaces one that a test has broken.

    `options` are those of a guest.
    """

    def __init__(
        self, kernel: Kernel, modules: Iterable[Path], accel: str, name: str = "e2e", **options: Any
    ) -> None:
        self.kernel = kernel
        self.modules = tuple(modules)
        self.accel = accel
        self.name = name
        self.options = options
        self.address: Address = (wires.LOCALHOST, 0)
        self._guest: vm.Guest | None = None

    def new_guest(self, name: str, port: int) -> vm.Guest:
        forwards = [wires.Forward(port, PORT)]
        return vm.Guest(
            self.kernel,
            self.modules,
            accel=self.accel,
            name=name,
            forwards=forwards,
            **self.options,
        )

    def lend(self) -> vm.Guest:
        if self._guest is None:
            self.address = (wires.LOCALHOST, wires.free_port())
            self._guest = self.new_guest(self.name, self.address[1]).__enter__()
        return self._guest

    def take_back(self) -> None:
        """Raises `Fail` if the kernel complained, or if a module cannot be unloaded."""
        guest = self.lend()
        try:
            # After each test, so it is one command.
            guest.must(script("clear", *LEFT_LOADED), timeout=60)
            guest.check()
        except BaseException:
            self.discard()
            raise

    def discard(self) -> None:
        guest, self._guest = self._guest, None
        if guest is not None:
            guest.kill()

    def close(self) -> None:
        guest, self._guest = self._guest, None
        if guest is not None:
            guest.__exit__(None, None, None)


def loaded(guest: vm.Guest) -> set[str]:
    """The modules that the guest has loaded."""
    lines = guest.must("cat /proc/modules").splitlines()
    return {line.split()[0] for line in lines}


def statistics(guest: vm.Guest, server: str = "kecho") -> dict[str, int]:
    """What a server shows in debugfs."""
    lines = guest.must(f"cat /sys/kernel/debug/ktcp_server/{server}/stats").splitlines()
    return {name: int(value) for name, value in (line.split() for line in lines)}


def open_connections(guest: vm.Guest) -> int:
    """How many connections kecho has."""
    return statistics(guest)["open"]


def counted(output: str) -> dict[str, int]:
    """The lines `KEY VALUE` that the crowd of clients has written."""
    pairs = (line.split() for line in output.splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}


def crowd(guest: vm.Guest, command: str, seconds: float = 60, **options: object) -> dict[str, int]:
    """Lets a crowd of clients do something in the guest; what it has counted."""
    words = " ".join(f"--{key} {value}" for key, value in options.items())
    line = f"ulimit -n 300000; exec {CROWD} {command} --seconds {seconds:g} {words}"
    return counted(guest.must(line, timeout=seconds + 30))


def storm(guest: vm.Guest, more_than: int, seconds: float, **options: object) -> None:
    """Lets a crowd storm, again where the machine is busy, until more than so many are complete.

    `options` are those of a crowd; what it receives is what it has sent.
    """
    complete = 0
    while complete <= more_than:
        counts = crowd(guest, "storm", seconds, **options)
        print(counts)
        assert counts["corrupt"] == 0, counts
        complete += counts["complete"]


def fill(guest: vm.Guest, path: str, line: str, megabytes: int) -> None:
    """Makes a file of that line, again and again."""
    guest.must(script("fill", path, line, megabytes), timeout=60)


def listens(guest: vm.Guest, port: int = PORT) -> bool:
    """Whether anybody in the guest listens on `port`."""
    # State 0A; that there is none is no failure.
    return guest.must(f"grep -h ':{port:04X} [0:]* 0A ' /proc/net/tcp* || [ $? = 1 ]") != ""


def anything_left(guest: vm.Guest, server: str = "kecho") -> str:
    """What of the server is still there; empty if nothing is."""
    # One command, for many tests ask.
    return ", ".join(guest.must(script("left", server, f"{PORT:04X}")).splitlines())


def eventually(what: Callable[[], object], seconds: float = 60.0) -> bool:
    """Whether `what` becomes true in that time; it is asked once more when the time is over."""
    deadline = time.monotonic() + seconds
    late = False
    while not what():
        if late:
            return False
        time.sleep(0.1)
        late = time.monotonic() > deadline
    return True


def echoed(address: Address) -> socket.socket:
    """A connection over which one echo came back, so it is certain that kecho accepted it."""
    connection = conversation.connect(address)
    connection.sendall(b"?")
    assert conversation.receive(connection, 1) == b"?"
    return connection


@contextmanager
def patience(connection: socket.socket, seconds: float) -> Iterator[None]:
    """Waits no longer than that for the peer, for once."""
    usual = connection.gettimeout()
    connection.settimeout(seconds)
    try:
        yield
    finally:
        connection.settimeout(usual)


def is_silent(connection: socket.socket, seconds: float = 0.3) -> bool:
    """Whether nothing comes in that time, not even the end."""
    try:
        with patience(connection, seconds):
            connection.recv(1)
    except TimeoutError:
        return True
    return False


def is_ended(connection: socket.socket, seconds: float = 60.0) -> bool:
    """Whether the server's end, orderly or not, arrives in that time; reads what comes before."""
    try:
        with patience(connection, seconds):
            conversation.receive_until_end(connection)
    except TimeoutError:
        return False
    except OSError:
        pass  # a reset is an end too
    return True


def rmmod(guest: vm.Guest, module: str = "kecho") -> float:
    """Unloads a module and returns the seconds that it took."""
    started = time.monotonic()
    guest.rmmod(module, timeout=RMMOD_SECONDS + 30)
    return time.monotonic() - started
