# SPDX-License-Identifier: GPL-2.0
"""What kmemleak finds."""

from __future__ import annotations

from ktcp import vm

FILE = "/sys/kernel/debug/kmemleak"

# It leaves alone what was allocated in the last five seconds.
YOUNG_SECONDS = 6

# What the module `proving` leaks if it is told to, as it is shown
INTENDED = "leaked by intent"


def leaks(guest: vm.Guest) -> list[str]:
    """What has leaked since the guest started: what kmemleak says of each piece of memory."""
    # Twice: of what has changed since it looked last it says nothing, and so of what is new to it. Only
    # when it looks again it counts how long something is there, so all may grow old meanwhile.
    scan = f"echo scan >{FILE}"
    command = f"sleep {YOUNG_SECONDS} & {scan} && wait && {scan} && cat {FILE}"
    return guest.must(command, timeout=240).split("unreferenced object")[1:]
