# SPDX-License-Identifier: GPL-2.0
"""The soak's statistics, its tables, and the order of its disturbances."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import pytest

from ktcp import disturbances, growth, initramfs, soak, ui, vm
from ktcp.control import Outcome


def _trend(values: Sequence[float]) -> growth.Trend:
    found = growth.trend(values)
    assert found is not None
    return found


# --- Slopes and their uncertainty ---


def test_slope_and_margin_are_those_of_a_worked_example() -> None:
    # By hand: the slope is 6/10, the residuals' squares add up to 2.4, the error is sqrt(2.4/3/10).
    found = _trend([2, 4, 5, 4, 5])
    assert found.slope == pytest.approx(0.6)
    assert found.margin == pytest.approx(3.182 * 0.08**0.5)


def test_values_on_a_line_have_its_slope_and_no_margin() -> None:
    found = _trend([5, 7, 9, 11])
    assert found.slope == pytest.approx(2)
    assert found.margin == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("values", [[], [1], [1, 2]])
def test_too_few_values_have_no_trend(values: list[float]) -> None:
    assert growth.trend(values) is None


def test_margin_of_noise_holds_the_slope_in_about_95_of_100() -> None:
    source = random.Random(4)
    inside = 0
    for _ in range(1000):
        found = _trend([3 * x + source.gauss(0, 10) for x in range(8)])
        inside += abs(found.slope - 3) <= found.margin
    assert 930 <= inside <= 970


def test_student_falls_with_each_degree_and_stays_above_the_normal_quantile() -> None:
    quantiles = [growth.student(freedom) for freedom in range(1, 100)]
    assert quantiles == sorted(quantiles, reverse=True)
    assert quantiles[0] == 12.706 and quantiles[29] == 2.042 and quantiles[-1] > 1.96


# --- What counts as growth ---

LEAK = [100, 131, 158, 192, 219, 252]


@pytest.mark.parametrize(
    "values, threshold, grew",
    [
        (LEAK, 5, True),
        (LEAK, 40, False),
        # One step, and then nothing: a pool that has reached its size
        ([100, 200, 200, 200, 200, 200, 200, 200], 1, False),
        ([100, 140, 90, 150, 80, 145], 1, False),
        ([100] * 6, 0, False),
        ([10, 9, 8, 7, 6, 5], 0, False),
        ([1, 2, 3, 4, 5, 6], 0.5, True),
    ],
)
def test_growth_is_above_its_margin_and_the_threshold(
    values: list[float], threshold: float, grew: bool
) -> None:
    assert _trend(values).grew(threshold) is grew


def _phases(**figures: Sequence[int]) -> list[dict[str, int]]:
    return [dict(zip(figures, values)) for values in zip(*figures.values())]


def test_figure_that_grows_is_named_and_its_neighbour_is_not() -> None:
    phases = _phases(tasks=[9, 9, 50, 51, 52, 53], sockets=[40, 9, 7, 7, 7, 7])
    rows, grew = soak.growths(phases, warm_up=2)
    assert grew == ["tasks"]
    by_name = {row[0]: row[1:] for row in rows}
    assert by_name["tasks"] == ("50", "53", "+1.00 ± 0.00", "0.5", "grew")
    assert by_name["sockets"] == ("7", "7", "+0.00 ± 0.00", "0.5", "no")


def test_growth_before_the_warm_up_has_ended_is_none() -> None:
    assert soak.growths(_phases(tasks=[1, 20, 30, 30, 30]), warm_up=2)[1] == []


def test_too_few_phases_are_said_to_be_so() -> None:
    for count in range(1, 5):
        rows, grew = soak.growths(_phases(tasks=list(range(count))), warm_up=2)
        assert rows[0][-1] == "too few phases" and grew == []


def test_figure_that_a_kernel_does_not_have_has_no_row() -> None:
    rows, _ = soak.growths(_phases(tasks=[1, 1, 1, 1, 1]))
    assert [row[0] for row in rows] == ["tasks"]


def test_every_figure_is_printed_by_the_guest() -> None:
    program = (initramfs.GUEST / "soak" / "measure.sh").read_text()
    for key in soak.FIGURES:
        # Some are put together from a prefix and a name.
        kind, _, name = key.partition("_")
        assert (
            key in program or (f'{kind}_"' in program or f"{kind}_$" in program) and name in program
        )


# --- Counts ---


def test_counts_of_several_programs_are_added_up() -> None:
    output = "deaf 5\ncomplete   3\nwget: no answer 7\ncomplete 4\ncorrupt 0\nopen\n"
    assert growth.counted(output) == {"deaf": 5, "complete": 7, "corrupt": 0}


def test_table_has_a_column_for_each_head() -> None:
    table = soak.markdown(("a", "b", "c"), [("x", "1", "2")])
    assert table.splitlines() == ["| a | b | c |", "| --- | --: | --: |", "| x | 1 | 2 |"]


# --- Disturbances ---


def test_each_round_has_every_disturbance_once() -> None:
    for seed in range(50):
        pairs = disturbances.pairs(random.Random(seed))
        assert sorted(name for pair in pairs for name in pair) == sorted(disturbances.ALL)
        assert not [pair for pair in pairs if len(pair) == 2 and set(pair) <= disturbances.APART]


def test_some_disturbances_come_together_and_some_alone() -> None:
    sizes = {len(pair) for seed in range(20) for pair in disturbances.pairs(random.Random(seed))}
    assert sizes == {1, 2}


def test_seed_decides_the_order() -> None:
    first, again, other = (disturbances.pairs(random.Random(seed)) for seed in (7, 7, 8))
    assert first == again != other


def test_phase_is_the_same_however_far_the_one_before_came() -> None:
    def second(draws: int, seed: int = 1) -> list[tuple[str, ...]]:
        field = disturbances.Field(cast(vm.Guest, None), seed)
        field.begin(1)
        for _ in range(draws):
            field.random.random()
        field.begin(2)
        return disturbances.pairs(field.random)

    assert second(draws=3) == second(draws=50) != second(draws=3, seed=2)


def test_phases_of_one_seed_differ() -> None:
    field = disturbances.Field(cast(vm.Guest, None), 1)
    found = set()
    for phase in range(5):
        field.begin(phase)
        found.add(tuple(disturbances.pairs(field.random)))
    assert len(found) == 5


def test_programs_of_the_guest_are_there() -> None:
    sources = [module.__file__ for module in (soak, disturbances)]
    texts = "".join(Path(source).read_text() for source in sources if source)
    names = set(re.findall(r"\bsh\([\"'](\w+)[\"']", texts))
    assert names == {path.stem for path in (initramfs.GUEST / "soak").glob("*.sh")}


# --- Verdicts ---


class _Guest:
    """A guest whose crowds and servers count what the test says."""

    def __init__(
        self, clients: str = "complete {count}\nopen 0\ncorrupt 0\n", stats: str = ""
    ) -> None:
        self.clients = clients
        self.stats = stats
        self.asked: list[str] = []

    def run(self, command: str, timeout: float = 30) -> Outcome:
        self.asked.append(command)
        match = re.search(r"--clients (\d+)", command)
        count = match[1] if match else ""
        return Outcome(0, self.clients.format(count=count).encode())

    def must(self, command: str, timeout: float = 30) -> str:
        self.asked.append(command)
        return self.stats

    def rmmod(self, module: str, timeout: float) -> None:
        raise ui.Fail(f"{module} is in use")


def _soak(guest: _Guest) -> soak.Soak:
    return soak.Soak(cast(vm.Guest, guest), seed=1)


def test_check_asks_near_and_far_and_adds_up() -> None:
    guest = _Guest()
    checked = _soak(guest)
    checked._answered()
    asked = [line for line in guest.asked if "/bin/crowd" in line]
    assert len([line for line in asked if soak.NEAR in line]) == 3
    assert len([line for line in asked if soak.FAR in line and soak.IN_FAR in line]) == 3
    assert checked.counts["complete"] == 2 * (30 + 10 + 5) and checked.field.hangs == 0


@pytest.mark.parametrize(
    "counts, hangs",
    [
        ("complete 28\nopen 2\nbroken 0\n", 2),
        ("complete 27\nopen 1\nbroken 2\n", 3),
        # Killed before it could count
        ("", 30),
    ],
)
def test_check_without_all_answers_fails(counts: str, hangs: int) -> None:
    checked = _soak(_Guest(counts))
    with pytest.raises(ui.Fail, match="not answered in full"):
        checked._answered()
    assert checked.field.hangs == hangs


def test_wrong_byte_fails_though_all_are_complete() -> None:
    checked = _soak(_Guest("complete {count}\nopen 0\ncorrupt 1\n"))
    with pytest.raises(ui.Fail, match="wrong bytes"):
        checked._answered()
    assert ("clients with wrong bytes", "1") in checked._checked()


@pytest.mark.parametrize("stats", ["open 3\nclosing 0\n", "open 0\nclosing 3\n"])
def test_connection_that_outlives_its_client_is_a_hang(
    monkeypatch: pytest.MonkeyPatch, stats: str
) -> None:
    monkeypatch.setattr(soak, "END_SECONDS", 0)
    checked = _soak(_Guest(stats=stats))
    with pytest.raises(ui.Fail, match="connections are left"):
        checked._quiet()
    assert checked.field.hangs > 0 and not checked.phases


@pytest.mark.parametrize("seconds, hangs", [(0, 1), (1000, 0)])
def test_unload_that_fails_is_a_hang_when_its_time_is_over(
    monkeypatch: pytest.MonkeyPatch, seconds: float, hangs: int
) -> None:
    monkeypatch.setattr(disturbances, "UNLOAD_SECONDS", seconds)
    checked = _soak(_Guest())
    with pytest.raises(ui.Fail, match="kecho is in use"):
        checked.field.unload("kecho")
    assert checked.field.hangs == hangs


# --- The variables ---


@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "101"])
def test_minutes_that_are_none_are_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("MINUTES", value)
    with pytest.raises(ui.Fail, match=f"MINUTES={value} is no"):
        soak.number("MINUTES", 20, 100)


@pytest.mark.parametrize("value, minutes", [("", 20), ("1", 1), ("100", 100)])
def test_minutes_are_those_given_or_the_default(
    monkeypatch: pytest.MonkeyPatch, value: str, minutes: int
) -> None:
    monkeypatch.setenv("MINUTES", value)
    assert soak.number("MINUTES", 20, 100) == minutes
