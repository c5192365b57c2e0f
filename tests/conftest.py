# SPDX-License-Identifier: GPL-2.0
"""What all tests of this folder share: none of them runs without a limit."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType

import pytest

# By hand: pytest-timeout counts the fixtures of a session, which build kernels, or no fixture at all.
LIMIT_SECONDS = 120


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "limit(seconds): how long the test may take")


@pytest.fixture(autouse=True)
def limit(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that hangs, at the line where it hangs."""
    marker = request.node.get_closest_marker("limit")
    seconds = int(marker.args[0]) if marker else LIMIT_SECONDS

    def expired(number: int, frame: FrameType | None) -> None:
        pytest.fail(f"the test took more than {seconds} s")

    previous = signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)
