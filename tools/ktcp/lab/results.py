# SPDX-License-Identifier: GPL-2.0
"""Results that are kept: figures, with their commit, kernel and machine."""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import accel, cache, kernel, module, qemu, ui

# Raise it when a figure changes its meaning: results of another format are not compared.
FORMAT = 1

# Other work of this machine, in CPUs, with which rates and latencies say little
BUSY = 0.5

# Figures for which the servers took turns
IN_TURNS = ("rate", "median_ns")

Result = dict[str, Any]


def ratio(figure: str, ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Returns our figure divided by theirs.

    A machine can be twice as fast in one minute as in the next. So what was measured in turns is
    compared turn by turn, and the median of that counts.
    """
    if figure in IN_TURNS:
        return statistics.median(one / other for one, other in zip(ours, theirs))
    return statistics.median(ours) / statistics.median(theirs)


def folder() -> Path:
    """Returns the folder of the results; all checkouts share it, so that results can be compared."""
    return cache.root() / "results"


def _git(*arguments: str) -> str:
    command = ["git", "-c", "safe.directory=*", *arguments]
    result = subprocess.run(command, cwd=module.CHECKOUT, capture_output=True, text=True)
    return result.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _qemu() -> str:
    output = subprocess.run([qemu.QEMU, "--version"], capture_output=True, text=True).stdout
    return output.partition("\n")[0]


def machine(prepared: kernel.Kernel) -> dict[str, Any]:
    """Describes this machine, as far as figures depend on it."""
    return {
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "accelerator": accel.choose(prepared),
        "qemu": _qemu(),
    }


def warn_if_busy() -> float:
    """Says so if other work of this machine spoils rates; returns how much there is, in CPUs."""
    load = os.getloadavg()[0]
    if load > BUSY:
        ui.warn(
            f"this machine is busy with other work (load {load:.1f}): "
            "instructions are right all the same, rates and latencies are not"
        )
    return load


def begin(prepared: kernel.Kernel, kind: str) -> Result:
    """A result that holds no figures yet."""
    return {
        "format": FORMAT,
        "kind": kind,
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": _git("rev-parse", "HEAD"),
        "subject": _git("log", "-1", "--format=%s"),
        # Uncommitted changes have no name that could be kept.
        "changed": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "kernel": prepared.release,
        "machine": machine(prepared),
    }


def keep(result: Result) -> Path:
    """Writes the result to where results are kept; returns the file."""
    commit = result["commit"][:12] + ("+" if result["changed"] else "")
    stamp = result["when"].replace(":", "").replace("-", "")
    path = folder() / f"{stamp}-{result['kind']}-{commit}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(result, indent=1) + "\n")
    fresh.rename(path)
    return path


def read(path: Path) -> Result:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ui.Fail(f"{path} is no result: {error}", "`make bench` writes one") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ui.Fail(f"{path} is a result of another version", "measure that commit anew")
    return content


def _is_comparable(result: Result, other: Result) -> bool:
    return all(result[name] == other[name] for name in ("format", "kernel", "machine"))


def previous(result: Result) -> Result | None:
    """Returns the last result of the same kernel on the same machine, or the one that BASE names."""
    if base := os.environ.get("BASE"):
        return read(Path(base))
    for path in sorted(folder().glob("*.json"), reverse=True):
        try:
            other = read(path)
        except ui.Fail:
            continue
        if _is_comparable(result, other) and other["when"] < result["when"]:
            return other
    return None


def prune(keep_last: int = 200) -> None:
    """Removes the oldest results."""
    found = sorted(folder().glob("*.json"))
    for path in found[: max(0, len(found) - keep_last)]:
        path.unlink(missing_ok=True)
        # Its charts
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
