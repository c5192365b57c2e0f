# SPDX-License-Identifier: GPL-2.0
"""What of khttpd is not of the kernel, and the crates that it is built with."""

from __future__ import annotations

from ktcp import crates, fuzz


def test_the_protocol() -> None:
    # Optimised, for some of its tests say everything byte by byte.
    status = crates.cargo(crates.MODULES, "test", "--release", "--quiet", "--lib")
    assert status == 0


def test_khttpd_and_hyper_agree_where_requests_end() -> None:
    status = crates.cargo(fuzz.FOLDER, "test", "--release", "--quiet", "--lib")
    assert status == 0


def test_crates_lie_in_the_cache() -> None:
    folder = crates.fetch()
    assert (folder / "httparse-1.10.1/src/lib.rs").is_file()
    # Kbuild compiles these, and nobody has looked at what else there might be.
    assert [path.name for path in folder.iterdir()] == ["httparse-1.10.1"]
