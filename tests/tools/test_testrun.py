# SPDX-License-Identifier: GPL-2.0
"""The counting of tests, on a small suite of pytest whose outcome is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ktcp import lanes, pytest_run, testrun, ui
from ktcp.counts import Counts
from ktcp.rings import Ring

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

# How many there are; with none, pytest itself runs the tests.
WORKERS = [0, 2]


def ring(name: str, run: Callable[[str], Counts]) -> Ring:
    return Ring(name, "a test", run)


@pytest.fixture
def suite(folder: Path) -> Path:
    (folder / "suite").mkdir()
    (folder / "suite/test_small.py").write_text(SUITE)
    return folder / "suite"


@pytest.mark.parametrize("workers", WORKERS)
def test_outcomes_of_pytest_are_counted(
    suite: Path, workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = pytest_run.run("small", str(suite), "", workers)
    assert (counts.passed, counts.failed, counts.skipped) == (3, 4, 1)
    assert counts.log is not None and "one is not two" in counts.log.read_text()
    shown = capsys.readouterr().out
    assert "one is not two" in shown
    assert "no teardown" in shown and "no setup" in shown
    assert "test_good" not in shown


def test_case_runs_alone(suite: Path) -> None:
    counts = pytest_run.run("small", str(suite), "good")
    assert (counts.passed, counts.failed, counts.skipped) == (1, 0, 0)


@pytest.mark.parametrize("workers", WORKERS)
def test_case_that_does_not_exist_is_refused(suite: Path, workers: int) -> None:
    with pytest.raises(ui.Fail, match="no test of .* matches CASE=nothing"):
        pytest_run.run("small", str(suite), "nothing", workers)


@pytest.mark.parametrize("workers", WORKERS)
def test_suite_that_cannot_be_read_has_failed(suite: Path, workers: int) -> None:
    (suite / "test_small.py").write_text("import nothing_of_that_name")
    assert pytest_run.run("small", str(suite), "", workers).failed == 1


@pytest.mark.parametrize("workers", WORKERS)
def test_share_of_the_whole_ends_at_100(suite: Path, workers: int) -> None:
    counts = pytest_run.run("small", str(suite), "", workers)
    assert counts.log is not None
    shares = [pytest_run.PROGRESS.search(line) for line in counts.log.read_text().splitlines()]
    found = [int(share[1] or share[2]) for share in shares if share]
    assert len(found) >= 8 and found[-1] == 100


def test_pytest_that_does_not_start_is_an_error(folder: Path) -> None:
    with pytest.raises(ui.Fail, match="pytest ended with status 4"):
        pytest_run.run("small", str(folder / "none"), "")


def test_closing_line_counts_passed_and_failed(capsys: pytest.CaptureFixture[str]) -> None:
    assert testrun.run(ring("one", lambda _: Counts(7, 0, 2))) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "7 passed, 0 failed"


def test_a_ring_that_cannot_run_has_failed(capsys: pytest.CaptureFixture[str]) -> None:
    def fails(case: str) -> Counts:
        raise ui.Fail("no kernel", "find one")

    assert testrun.run(ring("one", fails)) == 1
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-1] == "0 passed, 1 failed"
    assert "error: no kernel" in shown.err


def test_ring_is_repeated_until_it_fails(capsys: pytest.CaptureFixture[str]) -> None:
    runs: list[str] = []

    def third_fails(case: str) -> Counts:
        runs.append(case)
        return Counts(2, 1) if len(runs) == 3 else Counts(3, 0)

    assert testrun.run(ring("one", third_fails), "one case", 2) == 0
    assert "6 passed, 0 failed" in capsys.readouterr().out
    assert testrun.run(ring("one", third_fails), "", 100) == 1
    assert runs == ["one case", "one case", ""]
    assert "2 passed, 1 failed" in capsys.readouterr().out


def test_a_ring_may_know_how_to_repeat_itself(capsys: pytest.CaptureFixture[str]) -> None:
    left: list[int] = []

    def repeat(case: str, times: int) -> Iterator[Counts]:
        for number in range(times):
            left.append(number)
            yield Counts(1, int(number == 2))

    repeated = Ring("one", "a test", lambda _: Counts(7, 0), repeat)
    assert testrun.run(repeated) == 0 and not left
    assert testrun.run(repeated, "", 2) == 0
    assert "2 passed, 0 failed" in capsys.readouterr().out
    assert testrun.run(repeated, "", 100) == 1
    assert left == [0, 1, 0, 1, 2]


def test_number_of_runs_is_a_positive_number(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, number in (("", 1), ("100", 100)):
        monkeypatch.setenv("REPEAT", value)
        assert testrun.repeats() == number
    for value in ("0", "-1", "x"):
        monkeypatch.setenv("REPEAT", value)
        with pytest.raises(ui.Fail, match=f"REPEAT={value} is no number"):
            testrun.repeats()


@pytest.fixture
def small_rings(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Ring]:
    """A `python3 -m ktcp` with rings of its own: `good` passes, `bad` fails, `dead` dies."""
    program = folder / "python"
    program.write_text(
        """#!/bin/sh
        echo "working on $4" >&2; echo "results of $4"
        case $4 in
        good) echo '[3, 0, 1, "/tmp/good.log"]' >"$5";;
        bad) echo '[1, 2, 0, null]' >"$5"; exit 1;;
        *) exit 3;;
        esac
        """
    )
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))
    return [ring(name, lambda _: Counts(0, 0)) for name in ("good", "bad", "dead")]


def test_results_of_rings_beside_each_other_are_added_up(
    small_rings: list[Ring], capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad, dead = small_rings
    assert testrun.run_beside([good, dead, bad]) == 1
    shown = capsys.readouterr()
    assert shown.out.splitlines()[-1] == "4 passed, 3 failed"
    assert "good | working on good" in shown.err and "bad  | working on bad" in shown.err
    assert "results of dead" in shown.out
    assert testrun.run_beside([good]) == 0


def test_what_runs_beside_others_yields_to_them(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # `make test` runs this very test beside others.
    monkeypatch.delenv(lanes.BESIDE, raising=False)
    assert lanes.yielding(["make"]) == ["make"]
    words = ["sh", "-c", f"echo ${lanes.BESIDE}; exit 7"]
    [ended] = lanes.run([lanes.Command("one", "a test", words)], 1)
    assert ended.status == 7
    assert "1\n" in capfd.readouterr().out
    monkeypatch.setenv(lanes.BESIDE, "1")
    assert lanes.yielding(["make"])[:2] == ["nice", "-n"]
