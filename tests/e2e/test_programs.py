# SPDX-License-Identifier: GPL-2.0
"""The client programs that people use, inside of the guest and outside, by IPv4 and by IPv6.

QEMU forwards ports by IPv4 only, so those outside who speak IPv6 have a cable to the guest.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ktcp import conversation, userland, vm, wires
from .lab import GUEST, PORT, Lab

PROGRAMS = {
    "nc": "/usr/bin/nc -N {host} {port} </tmp/sent >/tmp/received",
    "socat": "/usr/bin/socat -t 10 - TCP:{bracketed}:{port} </tmp/sent >/tmp/received",
    # It ends with its input, and does not wait for what is still to come.
    "telnet": "(cat /tmp/sent; sleep 2) | /usr/bin/telnet {host} {port} | tail -n +4 >/tmp/received",
    "python3": "/usr/bin/python3 -IS /usr/share/client.py {host} {port} </tmp/sent >/tmp/received",
}

CLIENT = GUEST / "client.py"
URGENT = GUEST / "urgent.py"

CABLE = wires.Tap("ktcp-test", "cable")
OUTSIDE, INSIDE = "fd09::1", "fd09::2"


@pytest.fixture(scope="module")
def cable() -> Iterator[wires.Tap | None]:
    """A cable whose end outside is in a network namespace of its own; none where none can be."""
    if not Path("/dev/net/tun").exists():
        yield None
        return
    subprocess.run(["ip", "netns", "add", CABLE.namespace], check=True)
    try:
        for words in (
            ["tuntap", "add", CABLE.name, "mode", "tap"],
            ["addr", "add", f"{OUTSIDE}/64", "dev", CABLE.name, "nodad"],
            ["link", "set", CABLE.name, "up"],
        ):
            subprocess.run(["ip", "-n", CABLE.namespace, *words], check=True)
        yield CABLE
    finally:
        subprocess.run(["ip", "netns", "del", CABLE.namespace], check=True)


@pytest.fixture(scope="module")
def people(lab: Lab, cable: wires.Tap | None) -> Iterator[Lab]:
    """A lab whose guests have the programs of the build root, and the cable."""
    files = {
        **userland.programs(["nc", "socat", "telnet"]),
        **userland.python("socket", "threading", "encodings.idna"),
        **{f"/usr/share/{path.name}": path.read_bytes() for path in (CLIENT, URGENT)},
    }
    own = Lab(lab.kernel, lab.modules, lab.accel, "programs", files=files, tap=cable)
    yield own
    own.close()


@pytest.fixture
def machine(people: Lab) -> Iterator[vm.Guest]:
    """A guest with kecho on all its addresses."""
    guest = people.lend()
    guest.must("insmod /modules/ktcp_server.ko")
    assert guest.insmod("kecho", addr="::").status == 0
    yield guest
    people.take_back()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_program_in_the_guest_gets_all_back(machine: vm.Guest, program: str, host: str) -> None:
    lines = [f"line {number} of what a person might say\n" for number in range(300)]
    machine.push("/tmp/sent", "".join(lines).encode())
    bracketed = f"[{host}]" if ":" in host else host
    machine.must(PROGRAMS[program].format(host=host, port=PORT, bracketed=bracketed))
    machine.must("cmp /tmp/sent /tmp/received")


@pytest.mark.parametrize(
    "command",
    [
        ["nc", "-N", INSIDE, f"{PORT}"],
        ["socat", "-t", "10", "-", f"TCP6:[{INSIDE}]:{PORT}"],
        ["python3", str(CLIENT), INSIDE, f"{PORT}"],
    ],
    ids=lambda command: command[0],
)
def test_program_outside_by_ipv6_gets_all_back(
    cable: wires.Tap | None, machine: vm.Guest, command: list[str]
) -> None:
    if cable is None:
        pytest.skip("this machine has no /dev/net/tun")
    dad = "/proc/sys/net/ipv6/conf/eth1/accept_dad"
    machine.must(f"echo 0 >{dad}; ip addr add {INSIDE}/64 dev eth1; ip link set eth1 up")
    said = conversation.TEXT * 1000
    assert conversation.exchange_through([*cable.enter(), *command], said) == said
    machine.must(f"ip addr del {INSIDE}/64 dev eth1")


@pytest.mark.parametrize(
    "lengths",
    ["0 0", "0 1", "1 0", "5 5", "0 0 0 0", "1 0 1", "65536 65536", "200000 0 70000 3 0 100000 0"],
)
@pytest.mark.parametrize("executor", ["event_loop", "workqueue", "kthread"])
def test_urgent_bytes_come_back_in_their_place(
    machine: vm.Guest, executor: str, lengths: str
) -> None:
    machine.must("rmmod kecho")
    assert machine.insmod("kecho", executor=executor).status == 0
    machine.must(f"/usr/bin/python3 -IS /usr/share/urgent.py 127.0.0.1 {PORT} {lengths}")
