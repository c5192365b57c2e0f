# SPDX-License-Identifier: GPL-2.0
"""The laboratory, as far as it needs no guest."""

from __future__ import annotations

from pathlib import Path

import pytest

from ktcp import cache, ui
from ktcp.lab import (
    cases,
    command,
    compare,
    idle,
    measure,
    pictures,
    programs,
    results,
    servers,
    table,
    targets,
    web,
)
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
        assert (case.requests > 0) == (case.seconds < 1)
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
    assert "of 1 figure, none moved" in compare.report(before, overlapping)
    assert [move.is_better for move in compare.moves(before, apart)] == [True]


def test_what_has_no_figure_in_common_is_not_compared() -> None:
    before = _result(EARLIER, rate={"a": {"kecho": [90.0]}})
    for other in ({"rate": {"b": {"kecho": [90.0]}}}, {"instructions": {"a": {"kecho": [9.0]}}}):
        text = compare.report(before, _result(LATER, **other))
        assert "nothing to compare" in text and "moved" not in text


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
    "busy, threads, said",
    [
        ((0.9, 1.0, 1.95), 2, "both (CPUs full)"),
        ((1.0, 0.5, 1.6), 2, "none (waiting)"),
        ((0.5, 1.9, 1.8), 2, "server"),
        ((0.97, 0.5, 1.5), 1, "load"),
        ((0.4, 0.4, 0.9), 1, "none (waiting)"),
    ],
)
def test_who_is_saturated(busy: tuple[float, float, float], threads: int, said: str) -> None:
    assert table.saturated(busy, 2, threads) == said


def test_tables_line_up() -> None:
    result = _result(
        EARLIER, instructions={"a case": {"epoll": [2000.0], "kecho": [1000.0, 1010.0]}}
    )
    lines = table.instructions(result).splitlines()
    assert len(lines) == 3
    assert "1.000" in lines[1] and "0.502" in lines[2] and "1.00 %" in lines[2]


def test_rates_are_shown_with_their_latencies() -> None:
    times = {f"{name}_ns": 5000.0 for name in ("mean", "p50", "p90", "p99", "p99_9", "max")}
    run = {**times, "load": 0.5, "server": 1.0, "machine": 1.9, "threads": 2}
    # Who took turns is compared turn by turn.
    rate = {"epoll": [100.0, 110.0, 120.0], "kecho": [200.0, 110.0, 480.0]}
    runs = {server: [run] * len(values) for server, values in rate.items()}
    result = _result(EARLIER, cpus=2, rate={"a case": rate}, runs={"a case": runs})
    lines = table.rates(result).splitlines()
    assert len(lines) == 3
    assert "a case" in lines[1] and "a case" not in lines[2]
    assert "2.000" in lines[2] and "both (CPUs full)" in lines[2]


def test_tests_of_cargo_are_added_up() -> None:
    output = (
        "test result: ok. 11 passed; 0 failed; 0 ignored; 0 measured\n"
        "test result: FAILED. 17 passed; 1 failed; 2 ignored; 0 measured\n"
    )
    assert programs.counts(output) == programs.Tested(28, 1, 2)
    assert programs.counts("error: could not compile") == programs.Tested(0, 0, 0)


def test_a_target_is_compared_with_what_was_measured() -> None:
    name = cases.echo(64, 64).name
    counted = {name: {"kecho": [80.0, 84.0, 300.0], "epoll": [100.0], "io_uring": [100.0]}}
    result = _result(EARLIER, instructions=counted, memory={idle.LIBRARY_CASE: {"kecho": [2000.0]}})
    rows = targets.rows(result)
    assert [row[2:] for row in rows] == [
        ["0.840", "≤ 0.900", "met"],
        ["0.840", "≤ 0.950", "met"],
        ["2,000", "≤ 1,024", "not met"],
    ]
    assert table.met(result).count("\n") == 3
    assert not table.met(_result(EARLIER))


def test_the_targets_for_http_are_those_of_the_two_web_servers() -> None:
    small, large = (f"http, 1,000 connections, 1 {unit}" for unit in ("KiB", "MiB"))
    counted = {small: {"khttpd": [33.0], "nginx": [50.0]}}
    rate = {large: {"khttpd": [110.0], "nginx": [100.0]}}
    # Who else is measured in the same case is not compared.
    rate[large]["kecho"] = [500.0]
    rows = targets.rows(_result(EARLIER, instructions=counted, rate=rate))
    assert rows == [
        [small, "instructions, to nginx", "0.660", "≤ 0.650", "not met"],
        [large, "requests a second, to nginx", "1.100", "≥ 1.200", "not met"],
    ]
    rate[large]["khttpd"] = [120.0]
    assert targets.rows(_result(EARLIER, rate=rate))[0][-1] == "met"


def test_the_targets_are_of_cases_that_exist() -> None:
    names = {case.name for case in (*cases.FULL, *web.CASES)}
    names |= {idle.LIBRARY_CASE, idle.OPEN_CASE}
    assert {target.case for target in targets.TARGETS} <= names
    assert {target.figure for target in targets.TARGETS} <= set(compare.KINDS)


def test_memory_in_use_is_what_is_not_free() -> None:
    meminfo = "MemTotal:  4000 kB\nMemFree:   3000 kB\nHugePages_Total: 0\n"
    assert idle.used_bytes(meminfo) == 1000 << 10


def test_idle_connections_are_shown() -> None:
    result = _result(
        EARLIER,
        memory={idle.LIBRARY_CASE: {"kecho": [900.4]}},
        stop_seconds={idle.STOP_CASE: {"kecho": [0.2, 0.3, 0.4], "epoll": [0.5]}},
    )
    lines = table.idle(result).splitlines()
    assert "900 B" in lines[1]
    assert "0.30 s to stop" in lines[2] and lines[2].endswith("0.10")
    assert idle.STOP_CASE not in lines[3]


def test_figures_are_chosen_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIGURES", "memory,stop")
    assert command.wanted(command.FIGURES) == ["memory", "stop"]
    monkeypatch.setenv("FIGURES", "speed")
    with pytest.raises(ui.Fail, match="speed"):
        command.wanted(command.FIGURES)
    monkeypatch.delenv("FIGURES")
    assert command.wanted(["rates"]) == ["rates"]


def test_a_result_is_drawn() -> None:
    names = [case.name for case in cases.FULL]
    found = {name: {"kecho": [50.0], "epoll": [100.0], "io_uring": [110.0]} for name in names}
    run = {f"{name}_ns": 5000.0 for name in ("p50", "p99")}
    runs = {name: {server: [run] for server in found[name]} for name in names}
    result = _result(EARLIER, instructions=found, rate=found, runs=runs)
    result["machine"]["accelerator"] = "tcg"
    drawn = pictures.all_of(result)
    assert {"instructions", "rate", "latency-p99", "rate-sizes"} <= set(drawn)
    overview = drawn["instructions"]
    assert overview["rows"] == names
    assert overview["series"][0]["points"][0] == [0.5, 0.0]
    lines = drawn["rate-sizes"]["series"]
    assert [line["name"] for line in lines] == ["kecho", "epoll", "io_uring"]
    assert lines[0]["points"][0] == [13, 650.0]
    # Of a single case there is no line to draw.
    few = _result(EARLIER, instructions={names[0]: found[names[0]]})
    few["machine"]["accelerator"] = "tcg"
    assert set(pictures.all_of(few)) == {"instructions"}


def test_the_runs_that_agree_count() -> None:
    assert measure.closest([103.0, 100.0, 100.5, 90.0]) == [100.0, 100.5]
    assert measure.closest([7.0]) == [7.0]
    assert measure.agree([100.0, 130.0, 100.9])
    assert not measure.agree([100.0, 101.5])
