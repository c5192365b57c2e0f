# SPDX-License-Identifier: GPL-2.0
"""The laboratory, as far as it needs no guest."""

from __future__ import annotations

from pathlib import Path

import pytest

from ktcp import cache, ui
from ktcp.lab import cases, compare, programs, results, servers, table, web
from ktcp.lab.results import Result


def _result(when: str, **figures: object) -> Result:
    return {
        "format": results.FORMAT,
        "kind": "quick",
        "when": when,
        "commit": "c0ffee" * 7,
        "changed": False,
        "kernel": "7.3.4",
        "machine": {"cpus": 2},
        **figures,
    }


EARLIER, LATER = "2026-11-01T00:00:00Z", "2026-11-02T00:00:00Z"


def test_cases_have_names_of_their_own() -> None:
    names = [case.name for case in (*cases.FULL, *web.CASES)]
    assert len(set(names)) == len(names)
    assert set(cases.QUICK) <= set(cases.FULL)


def test_a_case_is_counted_in_whole_rounds() -> None:
    for case in cases.FULL:
        words = case.arguments.split()
        connections = int(words[words.index("--connections") + 1])
        assert case.requests > 0 and case.requests % connections == 0, case


def test_cases_and_servers_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASE", "1,000")
    assert [case.name for case in cases.chosen(cases.FULL)] == ["1,000 connections, 64 B"]
    monkeypatch.setenv("CASE", "no such case")
    with pytest.raises(ui.Fail, match="no such case") as caught:
        cases.chosen(cases.FULL)
    assert "1,000 connections" in caught.value.hint
    monkeypatch.setenv("SERVERS", "epoll,kecho")
    assert servers.chosen(servers.ALL) == (servers.EPOLL, servers.KECHO)
    monkeypatch.setenv("SERVERS", "epol")
    with pytest.raises(ui.Fail, match="epol"):
        servers.chosen(servers.ALL)


def test_servers_do_not_share_ports() -> None:
    every = (*servers.ALL, *web.SERVERS)
    assert len({server.port for server in every}) == len(every)
    # The names of web's are known where they are among those to choose from.
    assert servers.chosen(every) == every


def test_http_is_asked_of_servers_that_speak_it() -> None:
    for case in web.CASES:
        assert servers.that_speak(case.protocol, (*servers.ALL, *web.SERVERS)) == [*web.SERVERS]
        # Where what one costs is not counted, the rate takes its time.
        assert (case.requests > 0) == (case.seconds == 1)
    counted = [case.name for case in web.CASES if case.requests]
    assert "http, 1,000 connections, 1 KiB" in counted
    files = web.files()
    assert len(files[f"{web.ROOT}/1k.bin"]) == 1024
    assert web.CONFIG in files and "/usr/bin/nginx" in files


def test_what_moved_is_named() -> None:
    before = _result(EARLIER, instructions={"a": {"kecho": [100.0, 101.0], "epoll": [100.0]}})
    after = _result(LATER, instructions={"a": {"kecho": [90.0], "epoll": [101.0]}, "b": {}})
    (move,) = compare.moves(before, after)
    assert (move.server, move.is_better) == ("kecho", True)
    assert "a, kecho" in compare.report(before, after)
    assert "worse" in compare.report(after, before)


def test_runs_that_overlap_say_nothing() -> None:
    before = _result(EARLIER, rate={"a": {"kecho": [90.0, 100.0, 110.0]}})
    overlapping = _result(LATER, rate={"a": {"kecho": [108.0, 120.0, 130.0]}})
    apart = _result(LATER, rate={"a": {"kecho": [111.0, 120.0, 130.0]}})
    assert not compare.moves(before, overlapping)
    assert "nothing moved" in compare.report(before, overlapping)
    assert [move.is_better for move in compare.moves(before, apart)] == [True]


def test_results_are_kept_and_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "root", lambda: folder)
    monkeypatch.delenv("BASE", raising=False)
    first, second = _result(EARLIER), _result(LATER)
    other = {**_result(LATER), "machine": {"cpus": 64}}
    assert results.previous(first) is None
    path = results.keep(first)
    assert results.read(path) == first
    assert results.previous(second) == first
    assert results.previous(other) is None
    monkeypatch.setenv("BASE", str(path))
    assert results.previous(other) == first
    path.write_text("{}")
    with pytest.raises(ui.Fail, match="another version"):
        results.previous(other)
    results.prune(keep_last=0)
    assert not list(results.folder().glob("*.json"))


@pytest.mark.parametrize(
    "busy, said",
    [
        ((0.9, 1.0, 1.95), "machine (server more)"),
        ((1.0, 0.9, 1.95), "machine (load more)"),
        ((0.5, 0.97, 1.5), "server (a CPU)"),
        ((0.97, 0.5, 1.5), "load (a CPU)"),
        ((0.4, 0.4, 0.9), "none: waiting"),
    ],
)
def test_who_is_saturated(busy: tuple[float, float, float], said: str) -> None:
    assert table.saturated(busy, 2) == said


def test_tables_line_up() -> None:
    result = _result(
        EARLIER, instructions={"a case": {"epoll": [2000.0], "kecho": [1000.0, 1010.0]}}
    )
    lines = table.instructions(result).splitlines()
    assert len(lines) == 3
    assert "1.000" in lines[1] and "0.502" in lines[2] and "1.00 %" in lines[2]


def test_rates_are_shown_with_their_latencies() -> None:
    times = {f"{name}_ns": 5000.0 for name in ("mean", "p50", "p90", "p99", "p99_9", "max")}
    run = {**times, "load": 0.5, "server": 1.0, "machine": 1.5}
    rate = {"epoll": [100.0, 110.0, 120.0], "kecho": [220.0]}
    runs = {server: [run] * len(values) for server, values in rate.items()}
    result = _result(EARLIER, cpus=2, rate={"a case": rate}, runs={"a case": runs})
    lines = table.rates(result).splitlines()
    assert len(lines) == 3
    assert "a case" in lines[1] and "a case" not in lines[2]
    assert "2.000" in lines[2] and "server (a CPU)" in lines[2]


def test_tests_of_cargo_are_added_up() -> None:
    output = (
        "test result: ok. 11 passed; 0 failed; 0 ignored; 0 measured\n"
        "test result: FAILED. 17 passed; 1 failed; 2 ignored; 0 measured\n"
    )
    assert programs.counts(output) == programs.Tested(28, 1, 2)
    assert programs.counts("error: could not compile") == programs.Tested(0, 0, 0)
