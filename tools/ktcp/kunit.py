# SPDX-License-Identifier: GPL-2.0
"""Runs the KUnit suites on user-mode Linux, by the kernel's own `kunit.py`."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from . import cache, cli, distribution, host_crates, join, kernel, lanes, splat, ui

# Seconds after which a kernel that hangs is ended.
TIMEOUT = int(os.environ.get("KTCP_KUNIT_SECONDS", "300"))

# Repeated runs that go on at once: each waits most of its time.
AT_ONCE = 4 * (os.cpu_count() or 1)

# Rust and KASAN together need a kernel built by clang.
TOOLCHAIN = "LLVM=1"


# The file in which kunit.py leaves the output of the kernel
LOG = "test.log"


@dataclass(frozen=True)
class Result:
    passed: int
    failed: int
    skipped: int
    log: Path | None = None


def _folder(prepared: kernel.Kernel) -> Path:
    """Returns the folder in which the kernels with this checkout's configuration are built.

    Another configuration has its own, for changing to it and back rebuilds the kernel twice.
    """
    config = Path("kunit/.kunitconfig").read_bytes()
    name = f"{prepared.version}-{hashlib.sha256(config).hexdigest()[:8]}"
    return cache.root() / "kunit" / name


def _tree(prepared: kernel.Kernel, folder: Path) -> Path:
    """A copy of the kernel's source, in hard links, for this checkout to be joined to."""
    with cache.once(folder, prepared.version) as needed:
        if needed:
            subprocess.run(["cp", "-al", str(prepared.source), str(folder / "tree")], check=True)
    return folder / "tree"


def _join(tree: Path, build: Path, user: Path | None) -> None:
    checkout = Path.cwd()
    link = tree / join.LINK
    if link.is_symlink() and link.readlink() != checkout:
        # make goes by time, and the files of another checkout may be older than its objects.
        shutil.rmtree(build / join.LINK, ignore_errors=True)
    if user:
        shutil.rmtree(build / join.USER_LINK, ignore_errors=True)
    join.join(tree, checkout, user)


def _make_options(build: Path) -> list[str]:
    # Where a module that uses the library finds its metadata.
    return [TOOLCHAIN, *kernel.QUICK, f"KTCP_SERVER={build / join.LINK}/lib"]


def _kunit_py(action: str, tree: Path, build: Path, *arguments: str) -> list[str]:
    config = Path.cwd() / "kunit" / ".kunitconfig"
    return [
        sys.executable,
        # Otherwise kunit.py would hold back its output until the end.
        "-u",
        str(tree / "tools/testing/kunit/kunit.py"),
        action,
        "--arch=um",
        f"--build_dir={build}",
        f"--kunitconfig={config}",
        *(f"--make_options={option}" for option in _make_options(build)),
        *arguments,
    ]


def _build(prepared: kernel.Kernel, tree: Path, build: Path) -> None:
    steps = ui.Steps(2)
    make = ["make", "--no-print-directory", f"-j{os.cpu_count()}", "ARCH=um"]
    make += [*_make_options(build), f"O={build}"]
    with steps.step("configure user-mode Linux") as progress:
        command = _kunit_py("config", tree, build)
        ui.run_logged(command, cache.log("kunit-config"), progress, cwd=tree)
        host_crates.lend(prepared, tree, build, make, progress)
    # `kunit.py run` would build too, but without a sign of life.
    with steps.step("build user-mode Linux with the library and its suites") as progress:
        command, log = lanes.yielding(make, lanes.NICE_FIRST), cache.log("kunit-build")
        ui.run_logged(command, log, progress, cwd=tree, unit="steps")


def _leaves(group: dict[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    """Name and status of each test case."""
    for case in group["test_cases"]:
        yield f"{path}{case['name']}", case["status"]
    for sub in group["sub_groups"]:
        yield from _leaves(sub, f"{path}{sub['name']}.")


def count(report: dict[str, Any]) -> Result:
    """The numbers of a report of `kunit.py --json`."""
    statuses = [status for _, status in _leaves(report)]
    passed, skipped = statuses.count("PASS"), statuses.count("SKIP")
    return Result(passed, len(statuses) - passed - skipped, skipped)


def _exec(tree: Path, folder: Path, case: str | None, *, quiet: bool = False) -> Result:
    """Runs the kernel in that folder. `quiet`: shows nothing, unless a test fails."""
    report, log = folder / "report.json", folder / LOG
    report.unlink(missing_ok=True)
    arguments = [f"--json={report}", f"--timeout={TIMEOUT}"]
    arguments += [case] if case else []
    # kunit.py's own output is made for people, and has colours.
    # `run` would build once more, which takes some time even where nothing is to be done.
    ended = subprocess.run(
        _kunit_py("exec", tree, folder, *arguments),
        cwd=tree,
        stdout=subprocess.PIPE if quiet else None,
        text=True,
    )
    if not report.exists():
        raise ui.Fail(f"kunit.py ended with status {ended.returncode} and no report", f"see {log}")
    result = count(json.loads(report.read_text()))
    if result.passed + result.failed == 0:
        raise ui.Fail("no test ran", f"is `{case}` the name of a suite? see {log}")

    complaint = splat.find(log.read_text(errors="replace"))
    # A suite that passes while the kernel complains has failed.
    result = Result(result.passed, result.failed + bool(complaint), result.skipped, log)
    if result.failed or not quiet:
        sys.stdout.write(ended.stdout or "")
        if complaint:
            ui.say(f"the kernel complained:\n{complaint}")
    return result


def _repeat(tree: Path, build: Path, case: str | None, times: int) -> Iterator[Result]:
    """Runs the kernel so often, several times at once, each in a folder for its report and log."""

    def one(number: int) -> Result:
        folder = build.with_name("runs") / str(number)
        cache.wipe(folder)
        folder.mkdir(parents=True)
        (folder / "linux").symlink_to(build / "linux")
        return _exec(tree, folder, case, quiet=True)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        running = [pool.submit(one, number) for number in range(times)]
        try:
            for ended in as_completed(running):
                yield ended.result()
        finally:
            # The caller may stop early: runs that have not begun are dropped.
            pool.shutdown(cancel_futures=True)


def runs(case: str | None = None, times: int = 1, user: Path | None = None) -> Iterator[Result]:
    """Builds and runs the suites, or those that the glob `case` names, `times` times.

    With `user`, the module in that folder is built in as well.
    """
    prepared = distribution.prepare()
    folder = _folder(prepared)
    build = folder / "build"
    with cache.locked(folder.with_name(f".{folder.name}.lock")):
        tree = _tree(prepared, folder)
        _join(tree, build, user)
        try:
            _build(prepared, tree, build)
            if times == 1:
                result = _exec(tree, build, case)
                # Where the logs of all rings are
                log = shutil.copyfile(build / LOG, cache.log("kunit"))
                ui.say(f"its log: {log}")
                yield replace(result, log=log)
            else:
                yield from _repeat(tree, build, case, times)
        finally:
            if user:
                # Its folder may be gone before the next run.
                join.join(tree, Path.cwd())


def run(case: str | None = None, user: Path | None = None) -> Result:
    """As `runs`, once."""
    (result,) = runs(case, user=user)
    return result


# --- The command line ---


def _kunit_command(arguments: argparse.Namespace) -> int:
    result = run(arguments.case)
    return 0 if result.failed == 0 else 1


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser("kunit", help="run the KUnit suites on user-mode Linux")
    command.add_argument("case", nargs="?", help="a glob for the names of the suites, and .test")
    command.set_defaults(call=_kunit_command)
