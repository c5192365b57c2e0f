# SPDX-License-Identifier: GPL-2.0
"""A cache folder for each test, beside the real one: the file systems in /tmp may be small."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ktcp import cache


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder that stands in for the cache."""
    with tempfile.TemporaryDirectory(prefix="test-", dir=os.environ["KTCP_CACHE"]) as name:
        path = Path(name)
        path.chmod(0o755)
        monkeypatch.setenv("KTCP_CACHE", name)
        assert cache.root() == path
        yield path
