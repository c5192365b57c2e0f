# SPDX-License-Identifier: GPL-2.0
"""The counting of tests, on a small suite of pytest whose outcome is known."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ktcp import testrun, ui
from ktcp.testrun import Counts, Ring

SUITE = """
import pytest

def test_good(): pass
def test_bad(): assert 1 == 2, "one is not two"
@pytest.mark.parametrize("n", [1, 2, 3])
def test_many(n): assert n != 2
@pytest.mark.skip
def test_skipped(): pass
@pytest.fixture
def broken(): raise OSError("no setup")
def test_setup(broken): pass
@pytest.fixture
def untidy():
    yield
    raise OSError("no teardown")
def test_teardown(untidy): pass
"""


def ring(name: str, run: Callable[[str], Counts]) -> Ring:
    return Ring(name, "a test", run)


@pytest.fixture
def suite(folder: Path) -> Path:
    (folder / "suite").mkdir()
    (folder / "suite/test_small.py").write_text(SUITE)
    return folder / "suite"


def test_counts_of_pytest(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts = testrun.pytest("small", str(suite), "")
    assert (counts.passed, counts.failed, counts.skipped) == (3, 4, 1)
    assert counts.log is not None and "one is not two" in counts.log.read_text()
    shown = capsys.readouterr().out
    assert "one is not two" in shown
    assert "no teardown" in shown and "no setup" in shown
    assert "test_good" not in shown


def test_one_case(suite: Path) -> None:
    counts = testrun.pytest("small", str(suite), "good")
    assert (counts.passed, counts.failed, counts.skipped) == (1, 0, 0)


def test_no_such_case(suite: Path) -> None:
    with pytest.raises(ui.Fail, match="no test of .* matches CASE=nothing"):
        testrun.pytest("small", str(suite), "nothing")


def test_suite_that_cannot_be_read(suite: Path) -> None:
    (suite / "test_small.py").write_text("import nothing_of_that_name")
    assert testrun.pytest("small", str(suite), "").failed == 1


def test_pytest_that_does_not_start(folder: Path) -> None:
    with pytest.raises(ui.Fail, match="pytest ended with status 4"):
        testrun.pytest("small", str(folder / "none"), "")


def test_closing_line(capsys: pytest.CaptureFixture[str]) -> None:
    rings = [ring("one", lambda _: Counts(3, 0)), ring("two", lambda _: Counts(4, 0, 2))]
    assert testrun.run(rings) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "7 passed, 0 failed"


def test_failure_of_a_ring_does_not_end_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(case: str) -> Counts:
        raise ui.Fail("no kernel", "find one")

    assert testrun.run([ring("one", fails), ring("two", lambda _: Counts(4, 0))]) == 1
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-1] == "4 passed, 1 failed"
    assert "error: no kernel" in shown.err
