# SPDX-License-Identifier: GPL-2.0
"""A virtual machine that runs an unmodified kernel, for `make run` and for the tests.

```
with vm.Guest(kernel, modules, accel="tcg", forwards=[Forward(12345, 12345)]) as guest:
    guest.must("insmod /modules/ktcp_server.ko")
    guest.must("insmod /modules/kecho.ko")
```

Leaving the block powers the guest off and raises `Fail` if its kernel complained; an exception in
the block kills it. No wait is without a limit, and no virtual machine outlives its Python process.
"""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType

from . import control, initramfs, qemu, ui
from .console import Console, indented
from .control import Command, Lost, Outcome
from .kernel import Kernel
from .qemu import Machine
from .wires import Forward, Tap

BOOT_SECONDS = 90.0
POWER_OFF_SECONDS = 20.0
# Attempts to start a guest that does not boot as it should
STARTS = 4

# The longest argument of the guest's shell: large files belong into the initramfs.
PUSH_BYTES = 65536


class Aborted(ui.Fail):
    """A boot that failed for a reason outside of the guest."""


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
        starts: int = STARTS,
        icount: bool = False,
        options: Sequence[str] = (),
    ) -> None:
        """`cpu` is QEMU's name of the processor, if not the usual one; `options` are more of its own."""
        self._kernel = kernel
        self._modules = tuple(modules)
        self._files = files or {}
        self._drivers = drivers
        self._name = name
        # With `icount` a nanosecond of the guest is an instruction of its only CPU.
        accel = "icount" if icount else accel
        self._machine = Machine(accel, cpu, cpus, memory, cmdline, forwards, tap, options)
        self._boot_seconds = boot_seconds
        self._starts = starts
        self._is_off = False
        self._stack = ExitStack()

    # Birth and death

    def __enter__(self) -> Guest:
        # A failure before any module is there is not the modules' fault. With emulated processors, QEMU
        # 10 may fail an assertion (iotlb_to_section) while one processor sets up the PCI bus and another
        # one uses a device; and one may hit a breakpoint (int3) while another one patches code.
        for _ in range(self._starts - 1):
            try:
                self._boot()
            except Aborted:
                # Nothing of ours failed, and a first run should not look as if it had.
                ui.note(f"starting the guest again: QEMU gave up (see {self._keep_console()})")
                continue
            if not (complaint := self._console.complaint()):
                return self
            self.kill()
            ui.warn(f"starting again: the kernel complains:\n{indented(complaint)}")
        # A kernel that always complains can be looked at; that it does is found in the end.
        self._boot()
        return self

    def _boot(self) -> None:
        with ExitStack() as stack:
            self._console = stack.enter_context(Console(self._name))
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
        if shutil.which(qemu.QEMU) is None:
            raise ui.Fail(
                f"the build root has no {qemu.QEMU}",
                "`make clean-cache` and run again: the build root is made anew",
            )
        archive = scratch / "initramfs"
        content = initramfs.build(self._kernel, self._modules, self._files, self._drivers)
        archive.write_bytes(content)
        image, control_fd = self._kernel.image, control_end.fileno()
        self._qemu = subprocess.Popen(
            self._machine.command(image, archive, self.log, control_fd),
            stdin=subprocess.DEVNULL,
            stdout=self._console.fileno(),
            stderr=self._console.fileno(),
            pass_fds=[control_fd],
            # Ctrl-C at the terminal is for us: the guest is to be powered off, not cut off.
            start_new_session=True,
        )

    def _keep_console(self) -> Path:
        """Keeps what is in the console, which the next start empties."""
        kept = self.log.with_name(f"{self.log.stem}-aborted.log")
        shutil.copyfile(self.log, kept)
        return kept

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + self._boot_seconds
        try:
            probe = self._channel.start("true", self._boot_seconds)
            while not probe.is_done():
                time.sleep(0.02)
                if time.monotonic() > deadline:
                    raise self._console.failure(
                        f"the guest did not start within {self._boot_seconds:g} s"
                    )
                if self._machine.accel == "kvm" and "KVM internal error" in self.console():
                    # QEMU would only pause the guest and wait.
                    raise self._console.failure("a trial guest stopped with a KVM internal error")
            probe.wait()
        except Lost as lost:
            with suppress(subprocess.TimeoutExpired):
                self._qemu.wait(POWER_OFF_SECONDS)
            failure = self._console.failure("the guest ended while it started")
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
            raise self._console.failure(
                f"the guest did not power off within {POWER_OFF_SECONDS:g} s"
            ) from error
        self._is_off = True
        self.check()

    # Output

    @property
    def log(self) -> Path:
        """The file with the kernel's console, and QEMU's own output."""
        return self._console.path

    def console(self) -> str:
        return self._console.text()

    def dmesg(self) -> str:
        return self.must("dmesg")

    def expect_shortages(self) -> None:
        """Takes reports of failed allocations for no complaint from now on: a test will cause some."""
        self._console.expect_shortages()

    def check(self) -> None:
        """Raises `Fail` if the kernel complained about anything since it started."""
        self._console.check()

    # Commands

    def start(self, command: str, timeout: float = 30.0) -> Command:
        """Runs a shell command in the guest without waiting; `wait()` for it with `finish`."""
        try:
            return self._channel.start(command, timeout)
        except Lost as lost:
            raise self._console.failure(str(lost)) from lost

    def finish(self, command: Command) -> Outcome:
        try:
            return command.wait()
        except Lost as lost:
            raise self._console.failure(str(lost)) from lost

    def run(self, command: str, timeout: float = 30.0) -> Outcome:
        """Runs a shell command in the guest; the caller judges its exit status."""
        return self.finish(self.start(command, timeout))

    def must(self, command: str, timeout: float = 30.0) -> str:
        """Runs a shell command that has to succeed, and returns its output."""
        outcome = self.run(command, timeout)
        if outcome.status == control.KILLED:
            raise self._console.failure(f"`{command}` took more than {timeout:g} s in the guest")
        if outcome.status != 0:
            raise ui.Fail(
                f"`{command}` failed in the guest with status {outcome.status}:\n"
                f"{indented(outcome.output)}",
                self._console.where(),
            )
        return outcome.output

    def insmod(self, module: str, **parameters: int | str) -> Outcome:
        """Loads one of the modules that were given to the guest."""
        words = [f"{key}={value}" for key, value in parameters.items()]
        return self.run(" ".join([f"insmod {initramfs.MODULES / module}.ko", *words]))

    def rmmod(self, module: str, timeout: float = 30.0) -> None:
        """Unloads a module; the failure says who uses it."""
        self.must(f"unload {module}", timeout)

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
