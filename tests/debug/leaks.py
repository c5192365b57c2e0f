# SPDX-License-Identifier: GPL-2.0
"""What kmemleak finds."""

from __future__ import annotations

from ktcp import vm

FILE = "/sys/kernel/debug/kmemleak"

# It leaves alone what was allocated in the last five seconds.
YOUNG_SECONDS = 6


def leaks(guest: vm.Guest) -> str:
    """What has leaked since the guest started; empty if nothing has."""
    # Twice: of what has changed since it looked last it says nothing, and so of what is new to it.
    scan = f"sleep {YOUNG_SECONDS} && echo scan >{FILE}"
    return guest.must(f"{scan} && {scan} && cat {FILE}", timeout=240)
