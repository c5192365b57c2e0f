# SPDX-License-Identifier: GPL-2.0
"""The mistakes that the models have to find fit the code as it is, and what cargo says is read right."""

from __future__ import annotations

import pytest

from ktcp import model, mutate, ui
from ktcp.module import CHECKOUT

BUILT = (
    "     Running unittests src/lib.rs (debug/deps/ktcp_model-0123456789abcdef)\n\nrunning 1 test\n"
)


@pytest.mark.parametrize("mistake", model.MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_fits_one_place_and_has_its_model(mistake: mutate.Mutation) -> None:
    assert (CHECKOUT / mistake.file).read_text().count(mistake.old) == 1
    part, name = mistake.suites.split("::")
    models = (model.SOURCES / f"src/models/{part}.rs").read_text()
    assert models.count(f"#[test]\nfn {name}()") == 1


def test_each_included_file_with_a_lock_free_part_has_a_mistake() -> None:
    lines = [
        line
        for name in ("lib", "sync", "util")
        for line in (model.SOURCES / f"src/{name}.rs").read_text().splitlines()
    ]
    included = {line.split("../")[-1].rstrip('"]') for line in lines if line.startswith("#[path")}
    assert {mistake.file for mistake in model.MISTAKES} == included - {"lib/util/compat.rs"}


def test_the_model_that_fails_is_named() -> None:
    assert model.verdict(0, BUILT) == ""
    failed = "test models::parker::it_wakes ... FAILED\ntest models::parker::it ... ok\n"
    assert model.verdict(101, BUILT + failed) == "parker::it_wakes"
    assert "died" in model.verdict(101, BUILT)


def test_a_mistake_that_does_not_build_is_an_error() -> None:
    with pytest.raises(ui.Fail, match="does not build"):
        model.verdict(101, "error[E0425]: cannot find value `x` in this scope\n")


def test_one_that_no_model_finds_has_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(model, "_try", lambda mistake: "" if "woken" in mistake.name else "it")
    seeded = model._seed(list(model.MISTAKES))
    missed = [mistake.name for mistake in model.MISTAKES if "woken" in mistake.name]
    assert (seeded.passed, seeded.failed) == (len(model.MISTAKES) - len(missed), len(missed))
    shown = capsys.readouterr().out
    assert missed and all(f"no model finds: {name}" in shown for name in missed)
