# SPDX-License-Identifier: GPL-2.0
"""Charts, as `ktcp-bench plot` draws them."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import ui

Chart = dict[str, Any]
Points = Sequence[tuple[float, float]]


def axis(
    label: str, *, log: bool = False, unit: str = "", at: Sequence[tuple[float, str]] = ()
) -> Chart:
    """`unit` is written beside each value; `at` are the values that are named, and their names."""
    return {"label": label, "log": log, "unit": unit, "ticks": list(at)}


def series(name: str, points: Points, colour: int | None = None) -> Chart:
    return {"name": name, "points": [list(point) for point in points], "colour": colour}


def draw(program: Path, chart: Chart, svg: Path) -> None:
    """Draws the chart with `program`, which is ktcp-bench."""
    svg.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(chart, file)
        file.flush()
        result = subprocess.run(
            [str(program), "plot", file.name, str(svg)], capture_output=True, text=True, check=False
        )
    if result.returncode != 0:
        raise ui.Fail(f"{svg.name} cannot be drawn: {result.stderr.strip()}")
