# SPDX-License-Identifier: GPL-2.0
"""`make plots`, as far as it needs no guest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ktcp import ui
from ktcp.lab import plots, servers
from ktcp.lab.plots import Point


def _report(clients: int, microseconds: float, unanswered: int = 0) -> dict[str, Any]:
    times = {name: microseconds * 1e3 for name in ("mean", "p50", "p90", "p99", "p99_9")}
    failures: dict[str, Any] = {"refused": 0, "timed_out": unanswered, "last_error": None}
    return {
        "settings": {"connections": clients},
        "connect": {"times_ns": {"mean": 5e4}, "failures": {"refused": 0}},
        "echo": {
            "times_ns": times,
            "per_second": 1e6 / microseconds,
            "failures": failures,
            "unanswered": unanswered,
        },
    }


SWEEPS = {
    name: [Point.of([_report(n, 100.0 + n)] * 3) for n in plots.CLIENTS] for name in plots.SERVERS
}


def test_the_mean_of_the_repeats_counts() -> None:
    point = Point.of([_report(10, 100.0), _report(10, 200.0, unanswered=2), _report(10, 300.0)])
    assert point.clients == 10
    assert point.mean == pytest.approx(200e-6)
    assert point.connect == pytest.approx(50e-6)
    # A message that timed out is one client without an answer, not two.
    assert point.silent == 2


def test_each_number_of_clients_has_enough_echoes() -> None:
    for clients in plots.CLIENTS:
        words = plots.arguments(servers.EPOLL, clients).split()
        rounds = int(words[words.index("--rounds") + 1])
        assert rounds >= plots.LEAST_ROUNDS
        assert rounds * clients >= plots.SAMPLES


def test_there_is_a_picture_of_all_and_one_of_each() -> None:
    found = plots.pictures(plots.SERVERS, SWEEPS, "a machine")
    each = {f"echo-time-{name}" for name in plots.SERVERS}
    assert set(found) == {"echo-time", "echo-rate"} | each
    names = [line["name"] for line in found["echo-time"]["series"]]
    assert names == [server.name for server in plots.SERVERS.values()]
    assert found["echo-time"]["series"][0]["points"][0] == [1, pytest.approx(101e-6)]


def test_servers_have_colours_of_their_own() -> None:
    colours = [server.colour for server in plots.SERVERS.values()]
    assert len(set(colours)) == len(colours)


def test_tables_have_a_row_for_each() -> None:
    lines = plots.short_table(plots.SERVERS, SWEEPS).splitlines()
    assert "| 1 client | 10 clients | 100 clients | 1,000 clients |" in lines[0]
    assert len(lines) == 2 + len(plots.SERVERS)
    assert "| 101 µs | 110 µs | 200 µs | 1.10 ms |" in lines[2]
    lines = plots.full_table(SWEEPS["epoll"]).splitlines()
    assert len(lines) == 2 + len(plots.CLIENTS)
    assert len({line.count("|") for line in lines}) == 1


def test_only_what_is_between_the_marks_is_replaced() -> None:
    text = "before\n<!-- a -->\nold\n<!-- end of a -->\nafter\n"
    new = plots.replaced(text, "a", "new\n")
    assert new == "before\n<!-- a -->\nnew\n<!-- end of a -->\nafter\n"
    assert plots.replaced(new, "a", "new\n") == new
    with pytest.raises(ui.Fail, match="no place for b"):
        plots.replaced(text, "b", "")


def test_the_documentation_has_a_place_for_it() -> None:
    page = plots.PAGE.read_text()
    plots.replaced(page, "plots", "")
    shown = re.findall(r"pictures/[\w-]+\.svg", Path("README.md").read_text() + page)
    assert {"echo-time", "echo-rate"} <= {Path(picture).stem for picture in shown}
    for picture in shown:
        assert (Path("Documentation") / picture).exists(), f"`make plots` draws {picture}"
