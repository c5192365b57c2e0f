# SPDX-License-Identifier: GPL-2.0
"""What an operator sets with `insmod kecho.ko name=value`, and reads back in sysfs."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ktcp import conversation, run, vm
from .lab import PORT, Lab, anything_left, echoed, eventually, is_ended, statistics

PARAMETERS = "/sys/module/kecho/parameters"
CONFIG = "/sys/kernel/debug/ktcp_server/kecho/config"


@dataclass(frozen=True)
class Known:
    """What is documented of a parameter."""

    default: str
    # Values that are taken, the bounds among them
    good: tuple[str, ...]
    # Values that are not
    bad: tuple[str, ...]
    # What the log says of them: "must be …"
    accepts: str
    # What has to be set beside it
    others: tuple[tuple[str, str], ...] = ()
    # It is something to be given as `name`, or as `name=`.
    bare: bool = False
    empty: bool = False


MILLION16 = str(1 << 24)
DAY = str(24 * 60 * 60 * 1000)

KNOWN = {
    "addr": Known(
        "127.0.0.1",
        ("127.0.0.1", "0.0.0.0", "10.0.2.15", "::1", "::"),
        ("localhost", "127.0.0.1:80", "[::1]", "127.0.0", "127.0.0.256", "::1%lo", "fe80::1%"),
        "an IPv4 or IPv6 address, as 127.0.0.1, ::1 or fe80::1%eth0",
    ),
    "device": Known(
        "",
        ("lo",),
        ("a/b", "sixteen-bytes-is", "."),
        "the name of a network device, as eth0",
        empty=True,
    ),
    "freebind": Known("N", ("Y",), ("2", "maybe"), "y or n", bare=True),
    "reuse_port": Known("N", ("Y",), ("2", "maybe"), "y or n", bare=True),
    "only_v6": Known(
        "auto",
        ("auto", "N", "Y"),
        ("2", "default"),
        "y, n or auto",
        others=(("addr", "::1"),),
        bare=True,
    ),
    "mptcp": Known("N", ("Y",), ("2", "maybe"), "y or n", bare=True),
    "keepalive": Known(
        "off",
        ("off", "60:10:6", "1:1:1", "32767:32767:127"),
        ("on", "60", "60:10", "0:10:6", "32768:1:1", "1:1:128", "60:10:6:1"),
        "off, or SECONDS:SECONDS:PROBES, as 60:10:6",
    ),
    "user_timeout_ms": Known(
        "0", ("0", "1", "2147483647"), ("2147483648", "-1", "1s"), "0 to 2147483647"
    ),
    "port": Known(
        "12345", ("0", "1", "65535"), ("-1", "65536", "http", "1.5", "12345x"), "0 to 65535"
    ),
    "backlog": Known("128", ("1", "65535"), ("0", "-1", "65536", "many"), "1 to 65535"),
    "executor": Known(
        "event_loop",
        ("event_loop", "workqueue", "kthread"),
        ("event-loop", "Kthread", "kthread,workqueue", "0"),
        "event_loop, workqueue or kthread",
    ),
    "max_connections": Known(
        "10000", ("1", MILLION16), ("0", "16777217", "4294967296", "-1"), f"1 to {MILLION16}"
    ),
    "max_per_peer": Known(
        "0", ("0", "1", MILLION16), ("16777217", "-1", "all"), f"0 to {MILLION16}"
    ),
    "peer_prefix_v4": Known("32", ("1", "24", "32"), ("0", "33", "-1", "all"), "1 to 32"),
    "peer_prefix_v6": Known("64", ("1", "48", "128"), ("0", "129", "-1", "/64"), "1 to 128"),
    "idle_timeout_ms": Known("0", ("0", "1", DAY), ("86400001", "-1", "1s"), f"0 to {DAY}"),
    "close_timeout_ms": Known("60000", ("1", DAY), ("0", "86400001", "1s"), f"1 to {DAY}"),
    "buffer_size": Known(
        "65536", ("1", MILLION16), ("0", "16777217", "64k", "-1"), f"1 to {MILLION16}"
    ),
}

GOOD = [(name, value) for name, known in KNOWN.items() for value in known.good]
BAD = [(name, value) for name, known in KNOWN.items() for value in known.bad]


@pytest.fixture
def library(guest: vm.Guest) -> Iterator[vm.Guest]:
    """A guest with the library loaded."""
    guest.must("insmod /modules/ktcp_server.ko")
    yield guest


def set_values(guest: vm.Guest) -> dict[str, str]:
    """What sysfs shows."""
    # An empty line has nothing before its end.
    lines = guest.must(f"cd {PARAMETERS} && grep '' *").splitlines()
    return {name: value for name, _, value in (line.partition(":") for line in lines)}


def complaints(guest: vm.Guest) -> list[str]:
    """The lines of the log since the last call, without their times.

    Once each: where the kernel refuses a module, the `insmod` of busybox tries the older of the two
    system calls, too.
    """
    lines = guest.must("dmesg -c").splitlines()
    return list(dict.fromkeys(line.partition("] ")[2] for line in lines if "kecho" in line))


def config(guest: vm.Guest) -> dict[str, str]:
    lines = guest.must(f"cat {CONFIG}").splitlines()
    return {name: value for name, value in (line.split() for line in lines)}


def test_modinfo_lists_every_parameter(lab: Lab) -> None:
    kecho = next(path for path in lab.modules if path.name == "kecho.ko")
    command = ["modinfo", "-F", "parm", str(kecho)]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    lines = result.stdout.splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == sorted(KNOWN)
    assert "port:TCP port to listen on; 0 lets the kernel choose (u16)" in lines
    assert (
        "executor:Executor of the connections: event_loop, workqueue or kthread (executor)" in lines
    )


def test_defaults_are_those_of_the_page(library: vm.Guest) -> None:
    assert library.insmod("kecho").status == 0
    assert set_values(library) == {name: known.default for name, known in KNOWN.items()}
    namespace = library.must("readlink /proc/1/ns/net")
    assert config(library) == {
        "module": "kecho",
        "net_namespace": namespace.strip("net:[]\n"),
        "backlog": "128",
        "only_v6": "sysctl",
        "device": "any",
        "mptcp": "0",
        "nodelay": "1",
        "out_of_band_inline": "1",
        "reuse_port": "0",
        "keepalive_idle_s": "0",
        "keepalive_interval_s": "0",
        "keepalive_probes": "0",
        "send_buffer": "0",
        "receive_buffer": "0",
        "user_timeout_ms": "0",
        "listen": "127.0.0.1:12345",
        "executor": "event_loop",
        "input_buffer": "65536",
        "output_buffer": "65536",
        "max_connections": "10000",
        "max_per_peer": "0",
        "peer_prefix_v4": "32",
        "peer_prefix_v6": "64",
        "idle_timeout_ms": "0",
        "receive_timeout_ms": "0",
        "send_timeout_ms": "0",
        "close_timeout_ms": "60000",
        "drain_ms": "5000",
    }


@pytest.mark.parametrize(("name", "value"), GOOD)
def test_good_value_is_taken_and_shown(library: vm.Guest, name: str, value: str) -> None:
    # Unless the port is what is tried: nothing else is in the way at one that the kernel chooses.
    others = {} if name == "port" else {"port": "0"}
    outcome = library.insmod("kecho", **{name: value}, **others, **dict(KNOWN[name].others))
    assert outcome.status == 0, library.dmesg()
    assert set_values(library)[name] == value
    assert conversation_in(library) == "hello\n"


def conversation_in(guest: vm.Guest) -> str:
    """What kecho says to a `hello` from within the guest."""
    listen = config(guest)["listen"]
    host, _, port = listen.rpartition(":")
    near = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))
    return guest.must(f"echo hello | nc {near} {port}")


@pytest.mark.parametrize(("name", "value"), BAD)
def test_bad_value_refuses_the_load_in_one_line(library: vm.Guest, name: str, value: str) -> None:
    complaints(library)
    outcome = library.insmod("kecho", **{name: value})
    assert outcome.status != 0
    assert "nvalid" in outcome.output
    accepts = KNOWN[name].accepts
    assert complaints(library) == [
        f'ktcp_server: kecho: {name} is "{value}", and must be {accepts}'
    ]
    assert not anything_left(library)


@pytest.mark.parametrize("name", KNOWN)
def test_parameter_without_a_value_refuses_the_load(library: vm.Guest, name: str) -> None:
    known = KNOWN[name]
    for words in [name] * (not known.bare) + [f"{name}="] * (not known.empty):
        complaints(library)
        assert library.run(f"insmod /modules/kecho.ko {words}").status != 0
        line = f'ktcp_server: kecho: {name} is "", and must be {KNOWN[name].accepts}'
        assert complaints(library) == [line]


def test_every_bad_value_is_named(library: vm.Guest) -> None:
    complaints(library)
    assert library.run("insmod /modules/kecho.ko port=x addr=y backlog=z").status != 0
    assert [line.split()[2] for line in complaints(library)] == ["port", "addr", "backlog"]


def test_last_of_two_values_counts(library: vm.Guest) -> None:
    library.must("insmod /modules/kecho.ko port=1 port=12345")
    assert set_values(library)["port"] == "12345"
    library.must("rmmod kecho")
    # But a refused one refuses the load, whatever comes behind.
    assert library.run("insmod /modules/kecho.ko port=x port=12345").status != 0
    assert not anything_left(library)


def test_long_or_binary_value_is_cut_and_escaped_in_the_log(library: vm.Guest) -> None:
    complaints(library)
    library.push("/tmp/long", b"abcdefghij" * 500)
    assert library.run('insmod /modules/kecho.ko executor="$(cat /tmp/long)"').status != 0
    assert complaints(library) == [
        f'ktcp_server: kecho: executor is "{("abcdefghij" * 7)[:64]}", '
        f"and must be {KNOWN['executor'].accepts}"
    ]
    # Neither a line of its own in the log nor anything that a terminal would obey.
    assert library.run("insmod /modules/kecho.ko executor=$(printf 'a\\033[2Jb\\377c')").status != 0
    assert complaints(library) == [
        f'ktcp_server: kecho: executor is "a\\x1b[2Jb\\xffc", '
        f"and must be {KNOWN['executor'].accepts}"
    ]


def test_hexadecimal_and_octal_values_are_read(library: vm.Guest) -> None:
    library.must("insmod /modules/kecho.ko port=0x3039 backlog=0200")
    shown = set_values(library)
    assert (shown["port"], shown["backlog"]) == ("12345", "128")


def test_parameter_in_sysfs_cannot_be_written(library: vm.Guest) -> None:
    library.must("insmod /modules/kecho.ko")
    for name in KNOWN:
        path = f"{PARAMETERS}/{name}"
        assert library.must(f"stat -c %a {path}").strip() == "444"
        assert library.run(f"echo 1 >{path}").status != 0
        library.must(f"chmod 644 {path}")
        assert library.run(f"echo 1 >{path}").status != 0
    assert set_values(library)["port"] == "12345"


def test_unknown_parameter_is_left_to_the_kernel(library: vm.Guest) -> None:
    complaints(library)
    library.must("insmod /modules/kecho.ko prot=80")
    assert complaints(library) == [
        "kecho: unknown parameter 'prot' ignored",
        "kecho: listening on 127.0.0.1:12345",
    ]


# What they do


def test_default_address_is_not_reached_from_outside(lab: Lab, library: vm.Guest) -> None:
    library.must("insmod /modules/kecho.ko")
    assert library.must("echo hello | nc 127.0.0.1 12345") == "hello\n"
    assert not conversation.answers(lab.address, 2.0)


def test_unspecified_ipv6_address_serves_both_families(lab: Lab, library: vm.Guest) -> None:
    library.must("insmod /modules/kecho.ko addr=::")
    assert library.must("echo six | nc ::1 12345") == "six\n"
    assert library.must("echo four | nc 127.0.0.1 12345") == "four\n"
    assert conversation.answers(lab.address, 10.0)


def test_ipv6_loopback_address_serves_ipv6_only(library: vm.Guest) -> None:
    library.must("insmod /modules/kecho.ko addr=::1")
    assert library.must("echo six | nc ::1 12345") == "six\n"
    assert library.run("echo four | nc 127.0.0.1 12345").status != 0


def test_link_local_address_is_served_with_its_device(library: vm.Guest) -> None:
    found = library.must("grep -h '^fe80' /proc/net/if_inet6").split()
    addr = ":".join(found[0][start : start + 4] for start in range(0, 32, 4))
    index, device = int(found[1], 16), found[5]
    for scope in (device, str(index)):
        library.must(f"insmod /modules/kecho.ko addr={addr}%{scope}")
        assert set_values(library)["addr"].endswith(f"%{scope}")
        assert config(library)["listen"].endswith(f"%{index}]:12345")
        assert f"%{index}]:12345" in complaints(library)[-1]
        assert library.must(f"echo near | nc {addr}%{device} 12345") == "near\n"
        library.must("rmmod kecho")
    # The device may also be said apart from the address.
    library.must(f"insmod /modules/kecho.ko addr={addr} device={device}")
    assert library.must(f"echo near | nc {addr}%{device} 12345") == "near\n"
    library.must("rmmod kecho")
    complaints(library)
    assert library.insmod("kecho", addr=f"{addr}%nowhere0").status != 0
    assert library.insmod("kecho", addr=addr).status != 0
    lines = complaints(library)
    assert "there is no device for fe80:" in lines[0] and lines[0].endswith("%nowhere0: ENODEV")
    assert "cannot listen on [fe80:" in lines[1] and lines[1].endswith(":12345: EINVAL")


def test_device_that_is_not_there_refuses_the_load(library: vm.Guest) -> None:
    complaints(library)
    assert library.insmod("kecho", device="nowhere0").status != 0
    assert complaints(library) == ["ktcp_server: kecho: the kernel refuses device=nowhere0: ENODEV"]


def test_device_keeps_others_out(lab: Lab, library: vm.Guest) -> None:
    library.must("insmod /modules/kecho.ko addr=0.0.0.0 device=lo")
    assert library.must("echo near | nc 127.0.0.1 12345") == "near\n"
    assert not conversation.answers(lab.address, 2.0)
    assert config(library)["device"] == "lo"


def test_address_that_comes_later_is_served(library: vm.Guest) -> None:
    library.must("insmod /modules/kecho.ko addr=192.0.2.1 freebind=1")
    library.must("ip addr add 192.0.2.1/32 dev lo")
    assert library.must("echo here | nc 192.0.2.1 12345") == "here\n"
    library.must("ip addr del 192.0.2.1/32 dev lo")


def test_only_v6_leaves_v4_to_others(library: vm.Guest) -> None:
    library.must("insmod /modules/kecho.ko addr=:: only_v6=1")
    assert library.must("echo six | nc ::1 12345") == "six\n"
    assert library.run("echo four | nc 127.0.0.1 12345").status != 0
    assert config(library)["only_v6"] == "1"
    assert library.insmod("chat", port="12345", addr="127.0.0.1").status == 0
    library.must("rmmod chat")


def test_port_is_shared_with_those_that_want_it(library: vm.Guest) -> None:
    library.must("insmod /modules/kecho.ko reuse_port=1")
    assert library.insmod("chat", port="12345").status != 0
    library.must("insmod /modules/chat.ko port=12345 reuse_port=1 keepalive=60:10:6")
    library.must("rmmod chat")


def test_one_line_tells_of_clients_that_a_limit_turns_away(library: vm.Guest) -> None:
    library.must("insmod /modules/kecho.ko max_connections=1")
    library.start("sleep 60 | nc 127.0.0.1 12345", timeout=90)
    assert eventually(lambda: statistics(library)["open"] == 1)
    complaints(library)
    for _ in range(5):
        library.run("echo hello | nc -w 5 127.0.0.1 12345")
    assert eventually(lambda: statistics(library)["refused_by_limit"] == 5)
    assert complaints(library) == [
        "ktcp_server: kecho: max_connections=1 turns clients away, 1 since the last line"
    ]
    library.must("killall nc")


def test_address_of_another_machine_refuses_the_load(library: vm.Guest) -> None:
    complaints(library)
    outcome = library.insmod("kecho", addr="192.0.2.1")
    assert outcome.status != 0
    assert complaints(library) == [
        "ktcp_server: kecho: cannot listen on 192.0.2.1:12345: EADDRNOTAVAIL"
    ]
    assert not anything_left(library)


@pytest.mark.parametrize("executor", KNOWN["executor"].good)
def test_conversation_on_each_executor_comes_back(lab: Lab, guest: vm.Guest, executor: str) -> None:
    run.load(guest, executor=executor)
    run.wait_for_echo(guest, lab.address)
    conversation.hold(lab.address)
    with echoed(lab.address):
        threads = guest.must("cat /proc/[0-9]*/comm 2>/dev/null; true")
        assert ("kecho/loop" in threads) == (executor == "event_loop")
        assert config(guest)["executor"] == executor


def test_max_connections_refuses_the_next(lab: Lab, guest: vm.Guest) -> None:
    run.load(guest, max_connections=2)
    run.wait_for_echo(guest, lab.address)
    assert eventually(lambda: statistics(guest)["open"] == 0)
    first, second = echoed(lab.address), echoed(lab.address)
    with conversation.connect(lab.address) as third:
        assert is_ended(third)
    assert statistics(guest)["refused_by_limit"] == 1
    first.close()
    assert eventually(lambda: statistics(guest)["open"] == 1)
    echoed(lab.address).close()
    second.close()


def test_max_per_peer_refuses_the_next_of_that_peer(lab: Lab, guest: vm.Guest) -> None:
    run.load(guest, max_per_peer=1)
    run.wait_for_echo(guest, lab.address)
    assert eventually(lambda: statistics(guest)["open"] == 0)
    with echoed(lab.address):
        with conversation.connect(lab.address) as second:
            assert is_ended(second)
        # Others have their own share.
        assert guest.must(f"echo hello | nc 127.0.0.1 {PORT}") == "hello\n"
    assert statistics(guest)["refused_by_peer_limit"] == 1


@pytest.mark.parametrize("bits", [64, 128])
def test_peer_prefix_says_who_is_one_peer(library: vm.Guest, bits: int) -> None:
    near, neighbour, far = "2001:db8:0:1::1", "2001:db8:0:1::2", "2001:db8:0:2::1"
    for addr in (near, neighbour, far):
        library.must(f"ip -6 addr add {addr}/128 dev lo")
    try:
        library.must(f"insmod /modules/kecho.ko addr=:: max_per_peer=1 peer_prefix_v6={bits}")
        # The client of an address of this machine has that address itself.
        library.must(f"(echo first; sleep 60) | nc {near} {PORT} >/dev/null &")
        assert eventually(lambda: statistics(library)["bytes_out"] > 0)
        assert library.run(f"echo near | nc {near} {PORT}").output != "near\n"
        seen = library.run(f"echo next | nc {neighbour} {PORT}").output
        assert (seen == "next\n") == (bits == 128)
        assert library.must(f"echo far | nc {far} {PORT}") == "far\n"
        assert library.must(f"echo four | nc 127.0.0.1 {PORT}") == "four\n"
        assert statistics(library)["refused_by_peer_limit"] == 2 - (bits == 128)
    finally:
        for addr in (near, neighbour, far):
            library.must(f"ip -6 addr del {addr}/128 dev lo")


def test_idle_timeout_ends_a_silent_connection(lab: Lab, guest: vm.Guest) -> None:
    run.load(guest, idle_timeout_ms=300)
    run.wait_for_echo(guest, lab.address)
    with echoed(lab.address) as connection:
        assert is_ended(connection, 5.0)
    assert statistics(guest)["closed_idle"] >= 1


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_buffer_size_is_taken_and_loses_nothing(lab: Lab, guest: vm.Guest, size: int) -> None:
    run.load(guest, buffer_size=size)
    run.wait_for_echo(guest, lab.address)
    shown = config(guest)
    assert (shown["input_buffer"], shown["output_buffer"]) == (str(size), str(size))
    said = bytes(range(256)) * 40
    assert conversation.exchange(lab.address, said) == said
