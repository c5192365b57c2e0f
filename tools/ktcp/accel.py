# SPDX-License-Identifier: GPL-2.0
"""KVM or TCG: which accelerator the virtual machine gets.

That /dev/kvm can be opened proves nothing: under nested or restricted virtualisation it may create
a machine and then fail at the guest's first instructions. Only a guest that booted is proof.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from . import cache, ui, vm
from .kernel import Kernel

DEVICE = Path("/dev/kvm")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

# A guest on working KVM is up in about one second.
PROBE_SECONDS = 10.0


def choose(kernel: Kernel) -> str:
    """`kvm` if it is known to run a guest here, else `tcg`; the variable ACCEL overrides."""
    wish = os.environ.get("ACCEL", "")
    if wish == "tcg":
        return "tcg"
    if wish not in ("", "kvm"):
        raise ui.Fail(f"ACCEL={wish} is not known", "use ACCEL=kvm or ACCEL=tcg, or leave it out")
    complaint = _complaint(kernel)
    if not complaint:
        return "kvm"
    if wish == "kvm":
        raise ui.Fail(
            f"KVM does not work on this machine: {complaint}",
            "leave ACCEL out to run without KVM (slower, otherwise the same), "
            "or enable virtualisation for this machine",
        )
    return "tcg"


def _complaint(kernel: Kernel) -> str:
    """Returns the reason why KVM runs no guest on this machine; empty if a guest ran."""
    if not DEVICE.exists():
        return f"there is no {DEVICE}"
    # Until the machine starts again, nothing is likely to change what KVM can do.
    boot = BOOT_ID.read_text().strip()
    key = f"{boot} {kernel.release}"
    record = cache.root() / "kvm-probe.json"
    known = {past: verdict for past, verdict in _read(record).items() if past.startswith(boot)}
    if key not in known:
        known[key] = _probe(kernel)
        _write(record, known)
    return known[key]


def _probe(kernel: Kernel) -> str:
    # All that is said of it: that there is no KVM is no failure, and the log has the rest.
    ui.note("trying once whether this machine has KVM; without it guests are emulated, and slower")
    trial = vm.Guest(kernel, accel="kvm", name="kvm-probe", boot_seconds=PROBE_SECONDS, starts=1)
    try:
        with trial as guest:
            guest.must("true")
    except ui.Fail as failure:
        return failure.message.partition(";")[0]
    return ""


def _read(record: Path) -> dict[str, str]:
    try:
        content = json.loads(record.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {str(key): str(value) for key, value in content.items()}


def _write(record: Path, content: dict[str, str]) -> None:
    fresh = record.with_name(f"{record.name}.{os.getpid()}")
    fresh.write_text(json.dumps(content, indent=1) + "\n")
    fresh.rename(record)
