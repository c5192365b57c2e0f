# SPDX-License-Identifier: GPL-2.0
"""How fast the time stamp counter counts; that guests agree is in tests/e2e/test_vm.py."""

from __future__ import annotations

import pytest

from ktcp import tsc


def test_it_counts_as_fast_whenever_it_is_looked_at() -> None:
    found = set()
    for _ in range(3):
        tsc.kilohertz.cache_clear()
        found.add(tsc.kilohertz())
    # From 100 MHz to 10 GHz, to a thousandth
    assert 100_000 < min(found) and max(found) < 10_000_000
    assert max(found) == pytest.approx(min(found), rel=0.001)


def test_a_reading_that_had_to_wait_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two looks at the clock for each look at the counter: one of them is 5 ms late.
    times = iter([0, 5_000_000, *range(5_000_100, 5_010_000, 100)])
    monkeypatch.setattr("time.clock_gettime_ns", lambda _clock: next(times))
    counts = iter(range(1000, 2000))
    assert tsc._reading(lambda: next(counts)) == (1001, 5_000_150)
