# SPDX-License-Identifier: GPL-2.0
"""The frequency of this machine's time stamp counter, which an emulated processor has as well."""

from __future__ import annotations

import ctypes
import functools
import mmap
import time
from collections.abc import Callable

# rdtsc; shl $32, %rdx; or %rdx, %rax; ret
INSTRUCTIONS = bytes.fromhex("0f31 48c1e220 4809d0 c3")

# Seconds between the two ends, and readings at each end. The best reading counts: between the counter and
# the clock, this process may have to wait for a processor.
SECONDS = 0.1
READINGS = 20


def _reading(counter: Callable[[], int]) -> tuple[int, int]:
    """The counter, and the time in nanoseconds at which it was read."""
    best = None
    for _ in range(READINGS):
        before = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW)
        count = counter()
        took = time.clock_gettime_ns(time.CLOCK_MONOTONIC_RAW) - before
        if best is None or took < best[0]:
            best = took, count, before + took // 2
    assert best
    return best[1:]


@functools.cache
def kilohertz() -> int:
    with mmap.mmap(
        -1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    ) as page:
        page.write(INSTRUCTIONS)
        first_byte = ctypes.c_char.from_buffer(page)
        counter = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(first_byte))
        first, started = _reading(counter)
        time.sleep(SECONDS)
        last, ended = _reading(counter)
        # A page that is referred to cannot be closed.
        del first_byte
    return round((last - first) * 1_000_000 / (ended - started))
