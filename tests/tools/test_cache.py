# SPDX-License-Identifier: GPL-2.0
"""Work that is done once, whatever ends it early."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ktcp import cache


def _fill(directory: Path, key: str, name: str) -> bool:
    with cache.once(directory, key) as needed:
        if needed:
            assert not list(directory.iterdir()), "the rest of an earlier run is still there"
            (directory / name).touch()
    return needed


def test_a_step_is_done_once(folder: Path) -> None:
    assert _fill(folder / "a", "1", "x")
    assert not _fill(folder / "a", "1", "y")
    assert (folder / "a/x").exists()


def test_another_key_starts_anew(folder: Path) -> None:
    assert _fill(folder / "a", "1", "x")
    assert _fill(folder / "a", "2", "y")
    assert not (folder / "a/x").exists()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_nothing(folder: Path, error: type[BaseException]) -> None:
    with pytest.raises(error):
        with cache.once(folder / "a", "1"):
            (folder / "a/x").touch()
            raise error
    assert not (folder / "a").exists()
    assert _fill(folder / "a", "1", "y")


def test_a_failure_leaves_no_empty_folder_either(folder: Path) -> None:
    with pytest.raises(RuntimeError):
        with cache.once(folder / "kernels/new/build", "1"):
            raise RuntimeError
    assert not (folder / "kernels/new").exists()


# Says that it is at work, and stays there.
_STUCK = """
import sys, time
from pathlib import Path
from ktcp import cache
with cache.once(Path(sys.argv[1]), "1"):
    Path(sys.argv[1], "half").touch()
    print("at work", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def _start(directory: Path, seconds: float) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", _STUCK, str(directory), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "at work\n"
    return child


def test_a_killed_step_is_done_again(folder: Path) -> None:
    child = _start(folder / "a", 60)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert (folder / "a/half").exists(), "the run must have been killed in the middle"
    assert _fill(folder / "a", "1", "whole")


def test_two_at_once_take_turns(folder: Path) -> None:
    child = _start(folder / "a", 0.5)
    started = time.monotonic()
    assert not _fill(folder / "a", "1", "x"), "the other run did the work"
    assert time.monotonic() - started > 0.3
    assert child.wait() == 0


def test_a_stamp_does_not_survive_a_removal_cut_short(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _fill(folder / "a", "1", "x")

    def cut_short(path: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ktcp.cache.shutil.rmtree", cut_short)
        with pytest.raises(KeyboardInterrupt):
            _fill(folder / "a", "2", "y")
    assert (folder / "a/x").exists()
    assert not cache.is_complete(folder / "a", "1")


def test_what_nobody_used_for_long_is_removed(folder: Path) -> None:
    old, used, root = folder / "kernels/old", folder / "kernels/used", folder / "roots/old"
    for directory in (old / "build", used / "build", root):
        assert _fill(directory, "1", "x")
        os.utime(directory / cache.STAMP, (0, 0))
    assert not _fill(used / "build", "1", "x")
    cache.prune()
    assert not old.exists()
    assert used.exists() and root.exists()
