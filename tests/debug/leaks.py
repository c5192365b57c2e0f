# SPDX-License-Identifier: GPL-2.0
"""What kmemleak finds."""

from __future__ import annotations

from ktcp import vm

FILE = "/sys/kernel/debug/kmemleak"

# It leaves alone what was allocated in the last five seconds.
YOUNG_SECONDS = 6


def forget_leaks(guest: vm.Guest) -> None:
    """What it takes for leaks of the boot is not to be told again."""
    guest.must(f"echo scan=off >{FILE}; echo scan >{FILE}; echo clear >{FILE}", timeout=120)


def leaks(guest: vm.Guest) -> str:
    """What has leaked since; empty if nothing has."""
    # Twice: a pointer that is on its way during one scan is not missed by the next.
    scan = f"sleep {YOUNG_SECONDS}; echo scan >{FILE}"
    return guest.must(f"{scan}; {scan}; cat {FILE}", timeout=240)
