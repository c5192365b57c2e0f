# SPDX-License-Identifier: GPL-2.0
"""What kmemleak finds in the guest of the debug kernel: the last test of each file that uses it."""

from __future__ import annotations

from ktcp import vm
from tests.e2e.lab import Lab, script, serve

# What the module `proving` leaks if it is told to, as it is shown
INTENDED = "leaked by intent"


def leaks(guest: vm.Guest) -> list[str]:
    """What has leaked since the guest started: what kmemleak says of each piece of memory."""
    return guest.must(script("kmemleak"), timeout=240).split("unreferenced object")[1:]


def unintended_leaks(lab: Lab) -> list[str]:
    """What the tests before have leaked in the guest, which is not used any more.

    A module leaks on purpose first: if that is not seen, nothing is.
    """
    guest = lab.lend()
    guest.must("insmod /modules/ktcp_server.ko")
    serve(guest, "event_loop", leak="y")
    found = leaks(guest)
    # The kernel has complained of those, too.
    lab.discard()
    unintended = [leak for leak in found if INTENDED not in leak]
    assert len(found) > len(unintended), "nothing is seen of what leaks by intent"
    return unintended
