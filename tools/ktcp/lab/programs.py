# SPDX-License-Identifier: GPL-2.0
"""Builds the programs in bench/, for this machine and for the guest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .. import cache, module, ui

SOURCES = module.CHECKOUT / "bench"
# As bench/.cargo/config.toml says
OUTPUT = module.BUILD / "bench" / "x86_64-unknown-linux-gnu"
# Those of the laboratory
NAMES = ("ktcp-bench", "ktcp-peer")
# The program that draws charts, once it is built
BENCH = OUTPUT / "release" / "ktcp-bench"


def cargo(command: str, *arguments: str) -> list[str]:
    """The command that runs cargo over our programs, with the versions of Cargo.lock."""
    return ["cargo", command, "--locked", "--color=never", *arguments]


def build(*names: str, profile: str = "release") -> dict[str, Path]:
    """Builds these programs, or those of the laboratory; returns where each of them is. They need no
    library."""
    names = names or NAMES
    command = cargo("build", f"--profile={profile}", *(f"--package={name}" for name in names))
    # cargo's own names for these do not agree.
    folder = OUTPUT / ("debug" if profile == "dev" else profile)
    with ui.Progress(f"build {' and '.join(names)}") as progress:
        try:
            with cache.locked(cache.root() / "locks" / "cargo"):
                ui.run_logged(command, cache.log("cargo"), progress, cwd=SOURCES, unit="crates")
        except ui.Fail as failure:
            raise _explained(failure) from failure
        finally:
            module.hand_over(module.BUILD)
    return {name: folder / name for name in names}


def _explained(failure: ui.Fail) -> ui.Fail:
    if "index" in failure.message or "download" in failure.message:
        hint = "cargo fetches published crates: check the network, or ~/.cargo/config.toml"
        return ui.Fail(failure.message, f"{hint}; {failure.hint}")
    return failure


def files() -> dict[str, bytes]:
    """The programs as files of the guest's root file system, in its PATH."""
    return {f"bin/{name}": path.read_bytes() for name, path in build().items()}


# The closing line of one of the test programs that cargo runs
RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", re.MULTILINE)
LOG = "test-bench"


@dataclass(frozen=True)
class Tested:
    passed: int
    failed: int
    skipped: int


def counts(output: str) -> Tested:
    """Adds up the closing lines of cargo's tests."""
    lines = [[int(number) for number in found] for found in RESULT.findall(output)]
    return Tested(*(sum(column) for column in zip(*lines))) if lines else Tested(0, 0, 0)


def test(case: str) -> Tested:
    """Runs the tests of our programs whose names have `case` in them."""
    log = cache.log(LOG)
    failure: ui.Fail | None = None
    with ui.Progress("bench: the load generator, the peers and the crowd") as progress:
        command = cargo("test", "--no-fail-fast", "--", *([case] if case else []))
        try:
            ui.run_logged(command, log, progress, cwd=SOURCES)
        except ui.Fail as caught:
            failure = caught
        finally:
            module.hand_over(module.BUILD)
    found = counts(log.read_text(errors="replace"))
    if failure is not None:
        if not found.failed:
            # It does not build, or a test program died.
            raise failure
        print(failure.message, flush=True)
    return found
