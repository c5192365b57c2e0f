# SPDX-License-Identifier: GPL-2.0
"""What the pages of Documentation/ say of files, figures and names is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGES = sorted(Path("Documentation").rglob("*.md"))
AUTHOR = Path("Documentation/module-author.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("#"):
            assert link[1:] in anchors, link
        elif "://" not in link:
            assert (page.parent / link.split("#")[0]).exists(), link


def test_the_readme_leads_the_author_on() -> None:
    assert "(Documentation/module-author.md)" in Path("README.md").read_text()


def test_every_target_that_the_contributor_reads_of_exists() -> None:
    makefile = Path("Makefile").read_text()
    page = Path("Documentation/contributor.md").read_text()
    tables = re.findall(r"^\| `make …` \|.*\n\|---\|---\|\n((?:\|.*\n)+)", page, re.MULTILINE)
    names = [
        name
        for row in "".join(tables).splitlines()
        for name in re.findall(r"`([a-z-]+)`", row.split("|")[1])
    ]
    assert len(names) > 20
    for name in names:
        assert re.search(rf"^{name}:", makefile, re.MULTILINE), name


def test_the_kbuild_shown_is_the_one_that_is_written() -> None:
    template = Path("tools/new/Kbuild").read_text().replace("@NAME@", "capitals")
    assert f"```make\n{template}```\n" in AUTHOR


def test_figures_and_reasons_exist() -> None:
    counted = Path("lib/stats.rs").read_text()
    reasons = Path("lib/handler.rs").read_text()
    rows = [line.split("|") for line in AUTHOR.splitlines() if line.startswith("|")]
    failures = [row for row in rows if len(row) == 6]
    assert len(failures) > 12
    for *_, told, figures, _ in failures[2:]:
        for figure in re.findall(r"`(\w+)`", figures):
            assert f"=> {figure}," in counted or f"pub {figure}: u64" in counted, figure
        for reason in re.findall(r"`(\w+)(?:\(\w+\))?`", told):
            assert re.search(rf"^    {reason}\b", reasons, re.MULTILINE), reason


def test_every_setting_of_the_builder_is_named() -> None:
    builder = Path("lib/server/builder.rs").read_text()
    settings = set(re.findall(r"pub fn (\w+)\(mut self", builder))
    assert len(settings) > 8
    missing = {
        setting for setting in settings if not re.search(rf"\.{setting}\(|`{setting}[`(]", AUTHOR)
    }
    assert not missing


def test_the_tests_that_show_what_khttpd_does_exist() -> None:
    rows = Path("Documentation/khttpd.md").read_text().split("\n## Tests\n")[1]
    there = "".join(path.read_text() for path in Path("tests/e2e").glob("test_http*.py"))
    folder = Path("examples/khttpd/http")
    on_host = {path.stem: path.read_text() for path in folder.glob("*.rs")}
    on_host["tests"] += "".join(path.read_text() for path in folder.glob("tests/*.rs"))
    named = re.findall(r"`(test_\w+)`", rows)
    assert len(named) > 30
    for name in named:
        assert f"def {name}(" in there, name
    for line in rows.splitlines():
        if line.startswith("|"):
            for module, name in re.findall(r"`(?:(\w+)::)?([a-z_]+|\*)`", line.split("|")[3]):
                text = on_host[module or "tests"] + Path("kunit/files.rs").read_text()
                assert name == "*" or f"fn {name}()" in text, name


def test_every_parameter_of_khttpd_is_told() -> None:
    page = Path("Documentation/khttpd.md").read_text()
    source = Path("examples/khttpd/khttpd.rs").read_text()
    parameters = re.findall(r"^        (\w+): \S+(?: \[.*\])? = ", source, re.MULTILINE)
    assert len(parameters) > 12
    assert not [name for name in parameters if f"`{name}`" not in page]


def test_the_kbuild_of_the_crate_is_the_one_in_use() -> None:
    page, kbuild = Path("Documentation/crates.md").read_text(), Path("Kbuild").read_text()
    shown = page[page.index("khttpd-crates :=") :].split("```")[0].splitlines()
    assert len(shown) > 6
    assert not [line for line in shown if line not in kbuild.splitlines()]
