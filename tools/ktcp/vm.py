# SPDX-License-Identifier: GPL-2.0
"""A virtual machine that runs an unmodified kernel, for `make run` and for the tests.

```
with vm.Guest(kernel, modules, accel="tcg", forwards=[vm.Forward(12345, 12345)]) as guest:
    guest.must("insmod /modules/ktcp_server.ko")
    guest.must("insmod /modules/kecho.ko")
```

Leaving the block powers the guest off and raises `Fail` if its kernel complained; an exception in
the block kills it. No wait is without a limit, and no virtual machine outlives its Python process.
"""

from __future__ import annotations

import base64
import errno
import fcntl
import io
import itertools
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from . import cache, control, initramfs, splat, tsc, ui
from .control import Command, Lost, Outcome
from .kernel import Kernel

QEMU = "qemu-system-x86_64"
LOCALHOST = "127.0.0.1"

BOOT_SECONDS = 90.0
POWER_OFF_SECONDS = 20.0
# How often a guest is started, if it does not boot as it should
STARTS = 4
TAIL_LINES = 25

# What the guest's shell takes as one argument: large files belong into the initramfs.
PUSH_BYTES = 65536

ACCELERATORS = {
    "tcg": ["tcg,thread=multi"],
    # Time stands still for an instruction, and an idle CPU skips to what it waits for.
    "icount": ["tcg,thread=single", "-icount", "shift=0,sleep=off"],
}

# Everything that the accelerator can do
MAX_CPU = "max"

# Emulated, an instruction for a string of bytes goes byte by byte. A kernel that is not told that these
# are fast copies and clears in words, and a guest computes a fifth less, or more. As to la57: whether
# page tables have five levels Linux reads from the CPU's features, which identify_cpu() clears for a
# moment. KASAN takes an interrupt that comes just then for a wild access.
CPUS = {"tcg": f"{MAX_CPU},-erms,-fsrm,-fsrs,-fzrm,-la57"}

# Nothing is plugged in or out: it need not be told of each slot for that.
NO_HOTPLUG = "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"

CMDLINE = (
    "console=ttyS0",
    # A crash ends the guest (with -no-reboot) instead of leaving it to a timeout.
    "panic=-1",
    "oops=panic",
    # The watchdog of clock sources has one CPU spin for the other, with interrupts off and until a
    # clock says that it is late. Early in a boot that clock is counted by those very interrupts.
    "tsc=nowatchdog",
    # To try each cipher is a fourth of the boot of a kernel that has many.
    "cryptomgr.notests",
)


def _cpu_cmdline(accel: str) -> list[str]:
    """What a kernel is told about the usual CPU."""
    if accel != "tcg":
        return []
    return [
        # An emulated processor speculates about nothing, and the detours of retpolines take it long.
        "mitigations=off",
        # It has the counter of this machine. Who compares that with another clock is wrong if he has to
        # wait for a processor meanwhile.
        f"tsc_early_khz={tsc.kilohertz()}",
    ]


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
    """A port of the loopback address that nobody listens on at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((LOCALHOST, 0))
        port: int = probe.getsockname()[1]
        return port


class Aborted(ui.Fail):
    """A boot that went wrong, for no reason of what is booted."""


def _claim_log(name: str) -> io.FileIO:
    """An empty log file of that name, locked while it is open: guests at one time never share."""
    for number in itertools.count(1):
        path = cache.log(f"guest-{name}" if number == 1 else f"guest-{name}-{number}")
        path.parent.mkdir(parents=True, exist_ok=True)
        file = io.FileIO(path, "ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        file.truncate(0)
        return file
    raise AssertionError("unreachable")


def unloading(module: str) -> str:
    """A command that unloads a module; when that fails, it says who uses it."""
    # Sockets that are in use are in the third column.
    users = f"cd /sys/module/{module} && grep -H . refcnt && ls holders && cat /proc/net/protocols"
    return f"rmmod {module} || {{ {users}; false; }}"


def _quoted(value: Path) -> str:
    """A path as the value of a QEMU option, in which commas are doubled."""
    return str(value).replace(",", ",,")


class Guest:
    """A running guest; a context manager."""

    def __init__(
        self,
        kernel: Kernel,
        modules: Iterable[Path] = (),
        *,
        accel: str,
        name: str = "test",
        forwards: Sequence[Forward] = (),
        tap: Tap | None = None,
        files: Mapping[str, bytes] | None = None,
        drivers: Sequence[str] = (),
        cmdline: Sequence[str] = (),
        cpus: int = 2,
        cpu: str = "",
        memory: str = "1G",
        boot_seconds: float = BOOT_SECONDS,
        icount: bool = False,
        options: Sequence[str] = (),
    ) -> None:
        """`cpu` is QEMU's name of the processor, if not the usual one; `options` are more of its own."""
        self._kernel = kernel
        self._modules = tuple(modules)
        self._files = files or {}
        self._drivers = drivers
        # With `icount` a nanosecond of the guest is an instruction of its only CPU.
        self._accel = "icount" if icount else accel
        self._name = name
        self._forwards = forwards
        self._tap = tap
        for_cpu = [] if cpu else _cpu_cmdline(self._accel)
        self._cmdline = (*CMDLINE, *for_cpu, *cmdline)
        cpu = cpu or CPUS.get(self._accel, MAX_CPU)
        self._machine = ["-cpu", cpu, "-smp", str(cpus), "-m", memory]
        self._boot_seconds = boot_seconds
        self._lacks_memory = False
        self._options = options
        self._is_off = False
        self._stack = ExitStack()

    # Birth and death

    def __enter__(self) -> Guest:
        # What goes wrong before any module is there says nothing of the modules. Where processors are
        # emulated, QEMU 10 may fail an assertion (iotlb_to_section) while one of them sets up the PCI
        # bus and another one uses a device, and one may meet with a breakpoint (int3) where another one
        # changes code.
        for _ in range(STARTS - 1):
            try:
                self._boot()
            except Aborted as aborted:
                ui.warn(f"starting again: {aborted}")
                continue
            if not (complaint := self._complaint()):
                return self
            self.kill()
            ui.warn(f"starting again: the kernel complains:\n{_indented(complaint)}")
        # A kernel that always complains can be looked at; that it does is found in the end.
        self._boot()
        return self

    def _boot(self) -> None:
        with ExitStack() as stack:
            self._log = stack.enter_context(_claim_log(self._name))
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ktcp-guest.")))
            ours, theirs = socket.socketpair()
            with theirs:
                self._channel = control.Channel(ours)
                stack.callback(self._channel.close)
                self._start(scratch, theirs)
            stack.callback(self._end)
            self._wait_until_up()
            self._stack = stack.pop_all()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._stack:
            if kind is None:
                self.shutdown()

    def _start(self, scratch: Path, control_end: socket.socket) -> None:
        if shutil.which(QEMU) is None:
            raise ui.Fail(
                f"the build root has no {QEMU}",
                "`make clean-cache` and run again: the build root is made anew",
            )
        archive = scratch / "initramfs"
        content = initramfs.build(self._kernel, self._modules, self._files, self._drivers)
        archive.write_bytes(content)
        self._qemu = subprocess.Popen(
            self._command(archive, control_end.fileno()),
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            pass_fds=[control_end.fileno()],
            # Ctrl-C at the terminal is for us: the guest is to be powered off, not cut off.
            start_new_session=True,
        )

    def _command(self, archive: Path, control_fd: int) -> list[str]:
        network = ",".join(["user,id=net", *(forward.option() for forward in self._forwards)])
        accel = ACCELERATORS.get(self._accel, [self._accel])
        console = f"file,id=console,path={_quoted(self.log)},append=on"
        return [
            # The kernel ends the guest if this process goes without a chance to do so.
            *["setpriv", "--pdeathsig", "KILL", *(self._tap.enter() if self._tap else []), QEMU],
            *["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
            *["-machine", "q35", "-global", NO_HOTPLUG, "-accel", *accel, *self._machine],
            *["-kernel", str(self._kernel.image), "-initrd", str(archive)],
            *["-append", " ".join(self._cmdline)],
            *["-chardev", console, "-serial", "chardev:console"],
            *["-device", "virtio-serial-pci"],
            *["-chardev", f"socket,id=control,fd={control_fd}"],
            *["-device", "virtserialport,chardev=control,name=ktcp.control"],
            # Without its boot ROM: the firmware would spend time on it.
            *["-netdev", network, "-device", "virtio-net-pci,netdev=net,romfile="],
            *(self._tap.options() if self._tap else []),
            *self._options,
        ]

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + self._boot_seconds
        try:
            probe = self._channel.start("true", self._boot_seconds)
            while not probe.is_done():
                time.sleep(0.02)
                if time.monotonic() > deadline:
                    raise self._failure(f"the guest did not start within {self._boot_seconds:g} s")
                if self._accel == "kvm" and "KVM internal error" in self.console():
                    # QEMU would only pause the guest and wait for someone to look.
                    raise self._failure("a trial guest stopped with a KVM internal error")
            probe.wait()
        except Lost as lost:
            with suppress(subprocess.TimeoutExpired):
                self._qemu.wait(POWER_OFF_SECONDS)
            failure = self._failure("the guest ended while it started")
            raise Aborted(failure.message, failure.hint) from lost

    def _end(self) -> None:
        if self._qemu.poll() is None:
            self._qemu.kill()
        self._qemu.wait()

    def kill(self) -> None:
        """Ends the guest as a power cut would, and lets go of all that it used."""
        self._stack.close()

    def is_running(self) -> bool:
        return self._qemu.poll() is None

    def shutdown(self) -> None:
        """Ends the guest in order, and raises `Fail` if that fails or if its kernel complained."""
        if self._is_off:
            return
        # With -no-reboot, this ends QEMU; to power off takes ACPI, which not every kernel here has.
        self.start("reboot -f", POWER_OFF_SECONDS)
        try:
            self._qemu.wait(POWER_OFF_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise self._failure(
                f"the guest did not power off within {POWER_OFF_SECONDS:g} s"
            ) from error
        self._is_off = True
        self.check()

    # What it says

    @property
    def log(self) -> Path:
        """The file with the kernel's console, and with what QEMU itself has to say."""
        return Path(str(self._log.name))

    def console(self) -> str:
        return self.log.read_bytes().decode(errors="replace").replace("\r", "")

    def dmesg(self) -> str:
        return self.must("dmesg")

    def expect_shortages(self) -> None:
        """Allocations will be made to fail: that the kernel reports it is no complaint from now on."""
        self.check()
        self._lacks_memory = True

    def check(self) -> None:
        """Raises `Fail` if the kernel complained about anything since it started."""
        if found := self._complaint():
            raise ui.Fail(f"the guest's kernel complains:\n{_indented(found)}", self._where())

    def _complaint(self) -> str:
        console = self.console()
        return splat.find(splat.without_shortages(console) if self._lacks_memory else console)

    def _where(self) -> str:
        return f"the whole console is in {self.log}"

    def _failure(self, message: str) -> ui.Fail:
        """A `Fail` that shows why: the first complaint of the kernel, or else its last words."""
        tail = self._complaint() or "\n".join(self.console().splitlines()[-TAIL_LINES:])
        return ui.Fail(f"{message}; its console:\n{_indented(tail)}", self._where())

    # What it does

    def start(self, command: str, timeout: float = 30.0) -> Command:
        """Runs a shell command in the guest without waiting; `wait()` for it with `finish`."""
        try:
            return self._channel.start(command, timeout)
        except Lost as lost:
            raise self._failure(str(lost)) from lost

    def finish(self, command: Command) -> Outcome:
        try:
            return command.wait()
        except Lost as lost:
            raise self._failure(str(lost)) from lost

    def run(self, command: str, timeout: float = 30.0) -> Outcome:
        """Runs a shell command in the guest; its exit status is the caller's business."""
        return self.finish(self.start(command, timeout))

    def must(self, command: str, timeout: float = 30.0) -> str:
        """Runs a shell command that has to succeed, and returns its output."""
        outcome = self.run(command, timeout)
        if outcome.status == control.KILLED:
            raise self._failure(f"`{command}` took more than {timeout:g} s in the guest")
        if outcome.status != 0:
            raise ui.Fail(
                f"`{command}` failed in the guest with status {outcome.status}:\n"
                f"{_indented(outcome.output)}",
                self._where(),
            )
        return outcome.output

    def insmod(self, module: str, **parameters: int | str) -> Outcome:
        """Loads one of the modules that were given to the guest."""
        words = [f"{key}={value}" for key, value in parameters.items()]
        return self.run(" ".join([f"insmod {initramfs.MODULES / module}.ko", *words]))

    def rmmod(self, module: str, timeout: float = 30.0) -> None:
        """Unloads a module; the failure says who uses it."""
        self.must(unloading(module), timeout)

    def push(self, path: str, content: bytes) -> None:
        """Writes a small file in the guest."""
        self.must(f": >'{path}'")
        for offset in range(0, len(content), PUSH_BYTES):
            piece = base64.b64encode(content[offset : offset + PUSH_BYTES]).decode()
            self.must(f"echo {piece} | base64 -d >>'{path}'")

    def pull(self, path: str) -> bytes:
        """Reads a small file of the guest."""
        outcome = self.run(f"cat '{path}'")
        if outcome.status != 0:
            raise ui.Fail(f"the guest has no readable file {path}: {outcome.output.strip()}")
        return outcome.raw


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
