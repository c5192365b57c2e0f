# SPDX-License-Identifier: GPL-2.0
"""Finds the lines of a kernel log that a healthy kernel never writes."""

from __future__ import annotations

import re
from collections.abc import Sequence

# In front of a message: `<4>` (raw log), `[    1.234567]`, and `[  T12]` or `[ C1]` (the caller).
PREFIX = r"^(?:<\d+>)?(?:\[\s*\d+\.\d+\])?(?:\[\s*[TC]\d+\])?\s*"

# Anchored at the message's beginning where a driver might say the same word in passing ("Spectre
# V2 : WARNING: ...").
AT_START = (
    r"BUG: ",
    r"kernel BUG at ",
    r"WARNING: ",
    r"------------\[ cut here \]",
    r"Oops: ",
    r"Kernel panic - ",
    r"general protection fault",
    r"double fault",
    r"divide error",
    r"invalid opcode",
    r"stack segment",
    r"Call Trace:",
    r"refcount_t: ",
    r"UBSAN: ",
    r"KASAN: ",
    r"KCSAN: ",
    r"KFENCE: ",
    r"DEBUG_LOCKS_WARN_ON",
    r"INFO: task .* blocked for more than",
    r"INFO: rcu\S* .*stall",
    r"INFO: trying to register non-static key",
    r"rcu: INFO: .*stall",
    r"watchdog: BUG: ",
    r"sched: RT throttling activated",
    r"unregister_netdevice: waiting for",
    r"page allocation failure",
    r"Out of memory: ",
    r"slab \S+ .*objects remaining",
    r"kmem_cache_destroy ",
    r"kmemleak: \d+ new suspected memory leaks",
    r"Attempt to release alive inet socket",
    r"IPv4: Attempt to release TCP socket",
)
ANYWHERE = (
    r"possible circular locking",
    r"possible recursive locking",
    r"inconsistent lock state",
    r"suspicious RCU usage",
    r"sleeping function called from invalid context",
    r"scheduling while atomic",
    r"panicked at ",
    r"page allocation failure",
    r"unable to handle (?:kernel )?(?:page fault|NULL pointer)",
    r"=+\s*BUG \S+",
    r"invoked oom-killer",
)

_SPLAT = re.compile(f"{PREFIX}(?:{'|'.join(AT_START)})|{'|'.join(ANYWHERE)}")

# Lines of the log that are shown around a find.
BEFORE = 2
AFTER = 30


# Reports, with a backtrace, of a kernel that has no memory for a stack or the like
_SHORTAGE = re.compile(r"vmalloc error: size \d+|page allocation failure: order:\d+")
_SHORTAGE_END = "</TASK>"


def without_shortages(log: str) -> str:
    """The log without the reports of missing memory, for kernels that are made to miss it."""
    kept: list[str] = []
    inside = False
    for line in log.splitlines():
        inside = inside or bool(_SHORTAGE.search(line))
        if not inside:
            kept.append(line)
        inside = inside and _SHORTAGE_END not in line
    return "\n".join(kept)


def find(log: str) -> str:
    """Returns the first splat in `log` with the lines around it; empty if there is none."""
    lines = log.splitlines()
    for number, line in enumerate(lines):
        if _SPLAT.search(line):
            return "\n".join(_around(lines, number))
    return ""


def _around(lines: Sequence[str], number: int) -> Sequence[str]:
    return lines[max(0, number - BEFORE) : number + AFTER]
