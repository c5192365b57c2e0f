# SPDX-License-Identifier: GPL-2.0
"""A server is not what the process happens to be that loads its module."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ktcp import module, userland, vm
from .lab import Lab, eventually, loaded, rmmod, statistics

IP = "/usr/bin/ip"
SS = "/usr/bin/ss"
NICE = "/usr/bin/nice"
POLICY = "/bin/policy"
WITHOUT = "/bin/without"
GROUPS = "/sys/fs/cgroup"
UNIT = f"{GROUPS}/unit"

# The group of a service, whose memory is counted
SETUP = f"""
    set -e
    mount -t cgroup2 none {GROUPS} 2>/dev/null || [ -e {GROUPS}/cgroup.procs ]
    echo +memory >{GROUPS}/cgroup.subtree_control
    mkdir {UNIT}
    dmesg -c >/dev/null
    insmod /modules/ktcp_server.ko
"""
CLEAR = f"""
    killall -9 nc
    while [ -d {UNIT} ] && ! rmdir {UNIT}; do sleep 0.1; done
"""


def program(name: str, folder: Path) -> bytes:
    """The program `name` of the folder `programs/`, which needs no library."""
    source = Path(__file__).parent / "programs" / f"{name}.c"
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-static", str(source), "-o"]
    subprocess.run([*command, str(folder / name)], check=True)
    return (folder / name).read_bytes()


@pytest.fixture(scope="module")
def own(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("programs")
    files = {
        POLICY: program("policy", folder),
        WITHOUT: program("without", folder),
        **userland.programs(["depmod", "ip", "modprobe", "nice", "ss"]),
    }
    drivers = ["veth", "vrf", "tcp_diag"]
    own = Lab(lab.kernel, lab.modules, lab.accel, "loader", files=files, drivers=drivers)
    yield own
    own.close()


@pytest.fixture
def machine(own: Lab) -> Iterator[vm.Guest]:
    guest = own.lend()
    guest.must(SETUP)
    yield guest
    guest.run("rmmod khttpd kecho")
    guest.must(CLEAR, timeout=60)
    own.take_back()


def in_unit(command: str) -> str:
    """A command that runs in the group of the service."""
    return f"sh -c 'echo $$ >{UNIT}/cgroup.procs && exec {command}'"


def answers(guest: vm.Guest, addr: str = "127.0.0.1", prefix: str = "", seconds: int = 5) -> bool:
    """Whether kecho sends back what it is sent."""
    return guest.run(f"echo hello | {prefix} nc -w {seconds} {addr} 12345").output == "hello\n"


def owners(guest: vm.Guest) -> list[str]:
    """The control groups of the sockets of kecho."""
    listing = guest.must(f"{SS} -Htan --cgroup sport = :12345")
    return re.findall(r"cgroup:(\S+)", listing)


def setting(guest: vm.Guest, name: str) -> str:
    """A line of what kecho runs with."""
    config = guest.must("cat /sys/kernel/debug/ktcp_server/kecho/config")
    return dict(line.split(maxsplit=1) for line in config.splitlines())[name]


# Control groups


@pytest.mark.parametrize("way", ["ingress", "egress"])
def test_a_filter_on_the_group_of_the_loader_does_not_hold_for_clients(
    machine: vm.Guest, way: str
) -> None:
    machine.must(f"{POLICY} {UNIT} {way}")
    # It does for a process of that group.
    other = machine.start(in_unit("nc -l -p 12345 -e cat"), timeout=60)
    assert eventually(lambda: "12345" in machine.must(f"{SS} -Hltn"))
    assert not answers(machine, seconds=3)
    machine.run("killall -9 nc")
    machine.finish(other)

    machine.must(in_unit("insmod /modules/kecho.ko"))
    assert answers(machine)


@pytest.mark.parametrize("way", ["bind", "post-bind", "create"])
def test_a_port_forbidden_to_the_group_of_the_loader_is_bound(machine: vm.Guest, way: str) -> None:
    machine.must(f"{POLICY} {UNIT} {way}")
    refused = machine.run(in_unit("nc -l -p 12345"), timeout=20)
    assert "not permitted" in refused.output, refused
    machine.must(in_unit("insmod /modules/kecho.ko"))
    assert answers(machine)


def test_sockets_are_in_the_root_group_when_the_module_is_loaded_in_another(
    machine: vm.Guest,
) -> None:
    machine.must(in_unit("insmod /modules/kecho.ko"))
    client = machine.start("(echo hello; sleep 60) | nc 127.0.0.1 12345", timeout=90)
    assert eventually(lambda: statistics(machine)["bytes_out"] == 6)
    assert owners(machine) == ["/", "/"]
    machine.run("killall -9 nc sleep")
    machine.finish(client)


def test_the_group_of_the_loader_goes_before_the_server(machine: vm.Guest) -> None:
    machine.must(in_unit("insmod /modules/kecho.ko"))
    machine.must(f"rmdir {UNIT}")
    # Its memory takes a moment; what the sockets hold would stay.
    dying = f"grep nr_dying_descendants {GROUPS}/cgroup.stat"
    assert eventually(lambda: machine.must(dying).split()[1] == "0", 30), machine.must(dying)
    assert answers(machine)
    assert rmmod(machine) < 5


def test_what_is_forbidden_to_all_is_forbidden_to_the_server(machine: vm.Guest) -> None:
    machine.must(f"{POLICY} {GROUPS} bind")
    outcome = machine.run("insmod /modules/kecho.ko")
    machine.must(f"{POLICY} {GROUPS} bind off")
    assert outcome.status != 0
    assert "kecho: cannot listen on 127.0.0.1:12345: EPERM" in machine.dmesg()


# VRFs

# A line from the VRF `red` to the namespace `far`
RED = f"""
    set -e
    mkdir -p /var/run/netns
    {IP} netns add far
    {IP} link add red type vrf table 10
    {IP} link set red up
    {IP} link add near type veth peer name beyond netns far
    {IP} link set near master red
    {IP} addr add 10.7.0.1/24 dev near
    {IP} link set near up
    {IP} -n far addr add 10.7.0.2/24 dev beyond
    {IP} -n far link set beyond up
"""
NO_RED = f"""
    {IP} netns del far
    {IP} link del near
    {IP} link del red
    rmdir {GROUPS}/vrf/red {GROUPS}/vrf
"""
FROM_FAR = f"{IP} netns exec far"
IN_RED = f"{IP} vrf exec red"


@pytest.fixture
def red(machine: vm.Guest) -> Iterator[vm.Guest]:
    machine.must(RED)
    yield machine
    machine.run("rmmod kecho")
    machine.run(NO_RED)


@pytest.mark.parametrize("addr", ["0.0.0.0", "10.7.0.1", "::"])
def test_a_module_loaded_in_a_vrf_serves_that_vrf_alone(red: vm.Guest, addr: str) -> None:
    red.must(f"{IN_RED} insmod /modules/kecho.ko addr={addr}")
    assert answers(red, "10.7.0.1", FROM_FAR)
    assert not answers(red)
    assert "kecho: serves the device red only, as its loader does" in red.dmesg()
    assert setting(red, "device") == "red"
    # The port is free in the default VRF.
    other = red.start("nc -l -p 12345 -e cat", timeout=60)
    assert eventually(lambda: answers(red, seconds=2), 20)
    red.run("killall -9 nc")
    red.finish(other)
    # A listener that another closed comes back where it was.
    red.must(f"{SS} -K -ltn sport = :12345 >/dev/null 2>&1; true")
    assert eventually(lambda: statistics(red)["listener_restarts"] == 1)
    assert answers(red, "10.7.0.1", FROM_FAR)
    assert not answers(red)


def test_a_module_loaded_in_no_vrf_serves_the_default_one(red: vm.Guest) -> None:
    red.must(f"{IN_RED} true")
    red.must("insmod /modules/kecho.ko addr=0.0.0.0")
    assert answers(red)
    assert not answers(red, "10.7.0.1", FROM_FAR, seconds=3)
    assert "serves the device" not in red.dmesg()


# Files

SITE = "/srv/site"


@pytest.fixture
def site(machine: vm.Guest) -> Iterator[vm.Guest]:
    """A file system of its own, as process 1 sees it."""
    machine.must(f"mkdir -p {SITE} && mount -t tmpfs site {SITE} && echo public >{SITE}/file")
    yield machine
    machine.run(f"rmmod khttpd; umount {SITE}")


def served(guest: vm.Guest) -> str:
    """The file that khttpd gives out."""
    return guest.run("wget -T 10 -q -O - http://127.0.0.1:8080/file").output.strip()


# A process that is about to load a module, for which a line of shell is to be quoted once more
LOADERS = {
    "ip netns exec": f"{IP} netns exec own sh -c",
    "a private mount": "unshare -m sh -c",
    "another root": "chroot /jail /bin/busybox sh -c",
    "another group": f"sh -c 'echo $$ >{UNIT}/cgroup.procs; exec sh -c \"$1\"' -",
}


@pytest.mark.parametrize("loader", LOADERS)
def test_the_files_are_those_of_process_1(site: vm.Guest, loader: str) -> None:
    site.must(
        f"""
        mkdir -p /var/run/netns /jail/bin /jail{SITE}
        {IP} netns add own && {IP} -n own link set lo up
        cp /bin/busybox /jail/bin && cp /modules/khttpd.ko /jail && cp /modules/khttpd.ko /
        echo jailed >/jail{SITE}/file
    """
    )
    # What the loader mounts is over when it ends, and was never to be served.
    hide = f"/bin/busybox mount -t tmpfs hiding {SITE} && echo private >{SITE}/file; "
    insmod = f"/bin/busybox insmod /khttpd.ko root={SITE} port=8080"
    private = hide if loader in ("ip netns exec", "a private mount") else ""
    site.must(f'{LOADERS[loader]} "{private}{insmod}"')
    inside = f"{IP} netns exec own " if loader == "ip netns exec" else ""
    got = site.run(f"{inside}wget -T 10 -q -O - http://127.0.0.1:8080/file").output.strip()
    assert got == "public"
    # The file system stays as long as it is served.
    refused = site.run(f"umount {SITE}")
    assert refused.status != 0 and "busy" in refused.output, refused
    site.must(f"rmmod khttpd && umount {SITE}")
    site.run(f"{IP} netns del own; rm -r /jail /khttpd.ko")


def test_what_process_1_mounts_below_the_root_is_served(site: vm.Guest) -> None:
    site.must(f"mkdir {SITE}/sub && mount -t tmpfs sub {SITE}/sub && echo below >{SITE}/sub/file")
    site.must(
        f'unshare -m sh -c "umount {SITE}/sub; insmod /modules/khttpd.ko root={SITE} port=8080"'
    )
    assert site.must("wget -T 10 -q -O - http://127.0.0.1:8080/sub/file") == "below\n"
    site.must(f"rmmod khttpd; umount {SITE}/sub")


@pytest.mark.parametrize("root", ["site", ".", "./site"])
def test_a_root_that_depends_on_the_working_directory_is_refused(site: vm.Guest, root: str) -> None:
    outcome = site.run(f"cd /srv && insmod /modules/khttpd.ko root={root} port=8080")
    assert outcome.status != 0
    assert f"khttpd: root={root} cannot be opened: EINVAL" in site.dmesg()


# Everything else


@pytest.fixture
def inside(machine: vm.Guest) -> Iterator[vm.Guest]:
    """With a namespace `own`."""
    machine.must(f"mkdir -p /var/run/netns; {IP} netns add own && {IP} -n own link set lo up")
    yield machine
    machine.run(f"rmmod kecho; {IP} netns del own")


# A process that differs in all that a process has
ODD = f"""
    cd /srv
    umask 077
    ulimit -n 64 -c 0 -l 64
    echo 700 >/proc/self/oom_score_adj
    echo $$ >{UNIT}/cgroup.procs
    trap '' HUP TERM
    exec {IP} netns exec own unshare -m -u -i {NICE} -n 19 ionice -c 3 taskset 1 linux32 \\
        {WITHOUT} 1 insmod /modules/kecho.ko executor=
"""
# What the threads of kecho have, a line for each thread and trait
TRAITS = """
    for comm in $(grep -ls '^kecho/' /proc/[0-9]*/comm); do
        task=${comm%/comm}
        {
            cat $task/cgroup $task/limits $task/oom_score_adj $task/personality $task/timerslack_ns
            grep -E '^(Uid|Gid|Groups|Cap|NoNew|Secc|Cpus_a|Mems_a|Umask|SigIgn|SigBlk)' $task/status
            readlink $task/ns/* $task/root $task/cwd
            cut -d ' ' -f 6-8,18,19,40,41 $task/stat
            ionice -p ${task#/proc/}
        } 2>&1 | sed "s,^,$(cat $comm): ,"
    done | sort
"""


def traits(guest: vm.Guest) -> list[str]:
    """What the threads of kecho have, once they have run."""
    assert answers(guest, prefix=f"{IP} netns exec own")
    return guest.must(TRAITS).splitlines()


@pytest.mark.parametrize("executor", ["event_loop", "workqueue", "kthread"])
def test_threads_have_nothing_of_the_process_that_loads(inside: vm.Guest, executor: str) -> None:
    inside.must(f"{IP} netns exec own insmod /modules/kecho.ko executor={executor}")
    plain = traits(inside)
    assert any(line.startswith("kecho/accept: Cpus_allowed:") for line in plain), plain
    rmmod(inside)
    odd = ODD.replace("executor=", f"executor={executor}")
    inside.must(f"sh -c '{odd.replace("'", "'\\''")}'")
    assert traits(inside) == plain
    rmmod(inside)


def test_config_shows_the_namespace_and_the_module(inside: vm.Guest) -> None:
    inside.must(f"{IP} netns exec own insmod /modules/kecho.ko")
    inode = inside.must("stat -L -c %i /run/netns/own").strip()
    assert setting(inside, "net_namespace") == inode
    rmmod(inside)
    inside.must("insmod /modules/kecho.ko backlog=77")
    here = inside.must("readlink /proc/1/ns/net").strip()
    assert f"net:[{setting(inside, 'net_namespace')}]" == here
    for name, value in {"module": "kecho", "device": "any", "backlog": "77"}.items():
        assert setting(inside, name) == value


BIND_SERVICE = 10
ERRORS = {
    "EACCES": f"{WITHOUT} {BIND_SERVICE} insmod /modules/kecho.ko port=7",
    "EADDRNOTAVAIL": "insmod /modules/kecho.ko addr=192.0.2.1",
    "EINVAL": "insmod /modules/kecho.ko addr=fe80::1",
}


@pytest.mark.parametrize("error", ERRORS)
def test_the_log_names_the_error(machine: vm.Guest, error: str) -> None:
    assert machine.run(ERRORS[error]).status != 0
    line = rf"ktcp_server: kecho: cannot listen on \S+: {error}$"
    assert re.search(line, machine.dmesg(), re.MULTILINE), machine.dmesg()


def test_ss_names_no_process(machine: vm.Guest) -> None:
    machine.must("insmod /modules/kecho.ko")
    listing = machine.must(f"{SS} -Hltnp sport = :12345")
    assert "LISTEN" in listing and "users:" not in listing


def test_a_kernel_whose_modules_are_disabled_unloads_none(lab: Lab) -> None:
    own = Lab(lab.kernel, lab.modules, lab.accel, "disabled")
    guest = own.lend()
    try:
        guest.must("insmod /modules/ktcp_server.ko && insmod /modules/kecho.ko")
        guest.must("echo 1 >/proc/sys/kernel/modules_disabled")
        refused = guest.run("rmmod kecho")
        assert refused.status != 0 and "not permitted" in refused.output
        assert answers(guest)
    finally:
        # There is no other way to be rid of them.
        own.discard()


# The unit for systemd

UNIT_FILE = module.CHECKOUT / "tools" / "systemd" / "ktcp-server@.service"


def command_of(key: str, parameters: str = "") -> str:
    """A command of the unit for kecho."""
    line = re.search(rf"^{key}=(.*)$", UNIT_FILE.read_text(), re.MULTILINE)
    assert line
    return (
        line[1]
        .replace("/sbin/", "/usr/bin/")
        .replace("%i", "kecho")
        .replace("$PARAMETERS", parameters)
    )


def test_the_commands_of_the_unit_load_and_unload(machine: vm.Guest) -> None:
    machine.must(
        "rmmod ktcp_server; folder=/lib/modules/$(uname -r); mkdir -p $folder/updates && "
        "cp /modules/k*.ko $folder/updates && /usr/bin/depmod"
    )
    machine.must(command_of("ExecStart", "addr=0.0.0.0 max_per_peer=20"))
    assert answers(machine)
    assert setting(machine, "max_per_peer") == "20"
    # What was loaded already has other parameters, perhaps.
    assert machine.run(command_of("ExecStart")).status != 0
    machine.must(command_of("ExecStop"), timeout=60)
    assert loaded(machine).isdisjoint({"kecho", "ktcp_server"})
    failed = machine.run(command_of("ExecStart", "addr=192.0.2.1"))
    assert failed.status != 0 and "Cannot assign requested address" in failed.output
