# SPDX-License-Identifier: GPL-2.0
"""The machine that QEMU plays: its processor, its devices, and the kernel's command line for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import tsc
from .wires import Forward, Tap

QEMU = "qemu-system-x86_64"

ACCELERATORS = {
    "tcg": ["tcg,thread=multi"],
    # An instruction takes a fixed time, and an idle CPU skips to the next event.
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
    # Testing each cipher is a fourth of the boot time of a kernel that has many.
    "cryptomgr.notests",
)


def _cpu_cmdline(accel: str) -> list[str]:
    """Returns the kernel's command line for the usual CPU."""
    if accel != "tcg":
        return []
    return [
        # An emulated processor speculates about nothing, and the detours of retpolines take it long.
        "mitigations=off",
        # The guest has the counter of this machine. Calibrating it against another clock goes wrong if the
        # guest has to wait for a processor meanwhile.
        f"tsc_early_khz={tsc.kilohertz()}",
    ]


def _quoted(value: Path) -> str:
    """A path as the value of a QEMU option, in which commas are doubled."""
    return str(value).replace(",", ",,")


@dataclass(frozen=True)
class Machine:
    """A virtual machine, as the options of QEMU describe it."""

    accel: str
    cpu: str
    cpus: int
    memory: str
    cmdline: Sequence[str]
    forwards: Sequence[Forward]
    tap: Tap | None
    # More of QEMU's own
    options: Sequence[str]

    def command(self, image: Path, archive: Path, console: Path, control_fd: int) -> list[str]:
        """The command that boots `image` with the initramfs `archive`."""
        cpu = self.cpu or CPUS.get(self.accel, MAX_CPU)
        for_cpu = [] if self.cpu else _cpu_cmdline(self.accel)
        cmdline = (*CMDLINE, *for_cpu, *self.cmdline)
        accel = ACCELERATORS.get(self.accel, [self.accel])
        network = ",".join(["user,id=net", *(forward.option() for forward in self.forwards)])
        log = f"file,id=console,path={_quoted(console)},append=on"
        return [
            # The kernel ends the guest if this process goes without a chance to do so.
            *["setpriv", "--pdeathsig", "KILL", *(self.tap.enter() if self.tap else []), QEMU],
            *["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"],
            *["-machine", "q35", "-global", NO_HOTPLUG, "-accel", *accel],
            *["-cpu", cpu, "-smp", str(self.cpus), "-m", self.memory],
            *["-kernel", str(image), "-initrd", str(archive)],
            *["-append", " ".join(cmdline)],
            *["-chardev", log, "-serial", "chardev:console"],
            *["-device", "virtio-serial-pci"],
            *["-chardev", f"socket,id=control,fd={control_fd}"],
            *["-device", "virtserialport,chardev=control,name=ktcp.control"],
            # Without its boot ROM: the firmware would spend time on it.
            *["-netdev", network, "-device", "virtio-net-pci,netdev=net,romfile="],
            *(self.tap.options() if self.tap else []),
            *self.options,
        ]
