# SPDX-License-Identifier: GPL-2.0
"""Unloading while user space, or the kernel on its behalf, holds something of the modules."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ktcp import userland, vm
from .lab import CROWD, Lab, crowd, crowd_program, loaded

DEBUGFS = "/sys/kernel/debug"
FOLDER = f"{DEBUGFS}/ktcp_server/kecho"
FILES = ("stats", "connections", "config")
TRACING = "/sys/kernel/tracing"
EVENTS = f"{TRACING}/events/ktcp_server"

LOAD = "insmod /modules/ktcp_server.ko && insmod /modules/kecho.ko"

# What the kernel itself takes back when a module goes, and how it is opened.
TAKEN_BACK = [
    (f"{EVENTS}/enable", "<>"),
    (f"{EVENTS}/filter", "<>"),
    *((f"{EVENTS}/ktcp_send/{name}", "<") for name in ("format", "id", "hist")),
    *((f"{EVENTS}/ktcp_send/{name}", "<>") for name in ("enable", "filter", "trigger")),
    (f"{TRACING}/trace", "<"),
    ("/sys/module/kecho/parameters/port", "<"),
    ("/sys/module/kecho/refcnt", "<"),
    ("/sys/module/ktcp_server/sections/.text", "<"),
    ("/sys/module/ktcp_server/notes/.note.gnu.build-id", "<"),
    ("/proc/modules", "<"),
    ("/proc/kallsyms", "<"),
    ("/proc/net/tcp", "<"),
    ("/proc/$(pidof kecho/accept)/stat", "<"),
    ("/proc/$(pidof kecho/accept)/comm", "<>"),
    ("/proc/$(pidof kecho/loop0)/stack", "<"),
]

# Knows each file of a server by a descriptor that was never open, and opens it when the module is gone.
PATH_ONLY = f"""
import os
held = [os.open("{FOLDER}/" + name, os.O_PATH) for name in {FILES}]
assert os.system("rmmod kecho && rmmod ktcp_server") == 0
for descriptor in held:
    try:
        os.open("/proc/self/fd/%d" % descriptor, os.O_RDONLY)
    except FileNotFoundError:
        print("gone")
"""

# A counter of an event, by perf_event_open(2): a struct perf_event_attr of version 0.
PERF = f"""
import ctypes, os, struct
event = int(open("{EVENTS}/ktcp_send/id").read())
attr = struct.pack("=IIQQQQQIIQ", 2, 64, event, 0, 0, 0, 0, 0, 0, 0)
libc = ctypes.CDLL(None, use_errno=True)
counter = libc.syscall(298, attr, -1, 0, -1, 0)
assert counter >= 0, os.strerror(ctypes.get_errno())
assert os.system("rmmod kecho") == 0
print("first", os.system("rmmod ktcp_server"))
os.close(counter)
print("then", os.system("rmmod ktcp_server"))
"""


@pytest.fixture(scope="module")
def own(lab: Lab) -> Iterator[Lab]:
    files = {**crowd_program(), **userland.python("ctypes", "os", "struct")}
    own = Lab(lab.kernel, lab.modules, lab.accel, "held", files=files)
    yield own
    own.close()


@pytest.fixture
def machine(own: Lab) -> Iterator[vm.Guest]:
    """A guest with kecho and the library; that the kernel does not complain is seen in the end."""
    guest = own.lend()
    guest.must(f"grep -q ' {TRACING} ' /proc/mounts || mount -t tracefs tracefs {TRACING}")
    guest.must(LOAD)
    yield guest
    own.take_back()


def ours(guest: vm.Guest) -> set[str]:
    """Which of our modules are loaded."""
    return loaded(guest) & {"kecho", "ktcp_server"}


def python(guest: vm.Guest, script: str) -> list[str]:
    guest.push("/tmp/held.py", script.encode())
    return guest.must("/usr/bin/python3 -IS /tmp/held.py", timeout=60).splitlines()


def held_over_the_library(guest: vm.Guest, name: str, read_before: bool) -> None:
    """Unloads both modules while a file of kecho is open, by two descriptors."""
    script = f"""
        exec 3<{FOLDER}/{name} 4<{FOLDER}/{name}
        {"head -c 1 <&3 >/dev/null" if read_before else ":"}
        rmmod kecho || exit 2
        cat <&3 && exit 3
        rmmod ktcp_server && exit 4
        exec 3<&-
        rmmod ktcp_server && exit 5
        exec 4<&-
        rmmod ktcp_server
    """
    output = guest.must(script)
    assert "Input/output error" in output
    assert output.count("Resource temporarily unavailable") == 2
    assert not ours(guest)


@pytest.mark.parametrize("read_before", (False, True))
@pytest.mark.parametrize("name", FILES)
def test_an_open_file_of_a_server_holds_the_library(
    machine: vm.Guest, name: str, read_before: bool
) -> None:
    held_over_the_library(machine, name, read_before)


def test_an_open_file_does_not_show_the_server_that_comes_next(machine: vm.Guest) -> None:
    script = f"""
        exec 3<{FOLDER}/stats
        rmmod kecho && insmod /modules/kecho.ko || exit 2
        cat <&3 && exit 3
        cat {FOLDER}/stats
    """
    output = machine.must(script)
    assert "Input/output error" in output and "accepted" in output
    machine.must("rmmod kecho && rmmod ktcp_server")


def test_the_folder_of_a_server_that_is_gone_is_empty(machine: vm.Guest) -> None:
    script = f"""
        cd {FOLDER} && exec 3<. && rmmod kecho && rmmod ktcp_server || exit 2
        ls; cat stats && exit 3
        exec 3<&-
        cd / && {LOAD} && ls {FOLDER}
    """
    output = machine.must(script).split()
    assert output[-3:] == sorted(FILES)
    machine.must("rmmod kecho && rmmod ktcp_server")


def test_a_file_that_was_never_open_cannot_be_opened_after_the_library(machine: vm.Guest) -> None:
    assert python(machine, PATH_ONLY) == ["gone"] * len(FILES)
    assert not ours(machine)


def read_while_modules_come_and_go(guest: vm.Guest, rounds: int) -> None:
    """The library cannot go while one of its files is open, so this tries again."""
    readers = guest.start(
        f"touch /tmp/reading; while [ -e /tmp/reading ]; do cat {FOLDER}/* 2>/dev/null; done | wc -l",
        timeout=180,
    )
    script = f"""
        for i in $(seq {rounds}); do
            {CROWD} ask --clients 4 --seconds 60 | grep -q '^complete 4$' || exit 2
            rmmod kecho || exit 3
            until rmmod ktcp_server 2>/dev/null; do :; done
            {LOAD} || exit 4
        done
        rm /tmp/reading
    """
    guest.must(script, timeout=150)
    assert int(guest.finish(readers).output) > 0
    assert crowd(guest, "ask", clients=4)["complete"] == 4


@pytest.mark.limit(200)
def test_files_are_read_while_modules_come_and_go(machine: vm.Guest) -> None:
    read_while_modules_come_and_go(machine, 20)


@pytest.mark.parametrize("path, how", TAKEN_BACK)
def test_a_file_of_the_kernel_is_harmless(machine: vm.Guest, path: str, how: str) -> None:
    script = f"""
        exec 3{how}{path} || exit 2
        head -c 1 <&3 >/dev/null
        rmmod kecho && rmmod ktcp_server || exit 3
        cat <&3 >/dev/null 2>&1
        [ {how} = "<" ] || echo 1 >&3
        exec 3<&-
        {LOAD}
    """
    machine.must(script)
    assert crowd(machine, "ask", clients=4)["complete"] == 4


INSTANCE = f"{TRACING}/instances/held"

# How an event is traced, and how that ends.
TRACED = {
    "enabled": (f"echo 1 >{EVENTS}/enable", f"echo 0 >{EVENTS}/enable"),
    "filtered": (
        f"echo 'bytes > 1' >{EVENTS}/ktcp_send/filter; echo 1 >{EVENTS}/ktcp_send/enable",
        f"echo 0 >{EVENTS}/ktcp_send/filter; echo 0 >{EVENTS}/ktcp_send/enable",
    ),
    "triggered": (
        f"echo stacktrace >{EVENTS}/ktcp_send/trigger",
        f"echo '!stacktrace' >{EVENTS}/ktcp_send/trigger",
    ),
    "in an instance": (
        f"mkdir {INSTANCE}; echo 1 >{INSTANCE}/events/ktcp_server/enable",
        f"rmdir {INSTANCE}",
    ),
}


@pytest.mark.parametrize("how", TRACED)
def test_an_event_that_is_traced_holds_the_library(machine: vm.Guest, how: str) -> None:
    begin, end = TRACED[how]
    machine.must(begin)
    asking = machine.start(f"{CROWD} storm --clients 8 --seconds 3", timeout=60)
    machine.must("usleep 500000; rmmod kecho")
    machine.finish(asking)
    assert "Resource temporarily unavailable" in machine.run("rmmod ktcp_server").output
    machine.must(f"{end}; rmmod ktcp_server")
    # What was traced can still be read, without that which explained it.
    machine.must(f"cat {TRACING}/trace >/dev/null")
    machine.must(f"{LOAD}; grep -x 0 {EVENTS}/enable")
    assert crowd(machine, "ask", clients=4)["complete"] == 4


def test_a_counter_of_an_event_holds_the_library(machine: vm.Guest) -> None:
    said = dict(
        line.split() for line in python(machine, PERF) if line.startswith(("first", "then"))
    )
    assert int(said["first"]) != 0 and int(said["then"]) == 0
    assert not ours(machine)
