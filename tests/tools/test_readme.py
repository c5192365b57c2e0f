# SPDX-License-Identifier: GPL-2.0
"""What the README shows is what there is."""

from __future__ import annotations

import re
from pathlib import Path

README = Path("README.md").read_text()


def test_the_server_it_shows_is_the_example_that_is_built() -> None:
    source = Path("examples/minimal/minimal.rs").read_text()
    assert f"```rust\n{source.split('\n\n', 1)[1]}```\n" in README


def test_the_server_has_some_forty_lines() -> None:
    (shown,) = re.findall(r"```rust\n(.*?)```", README, re.DOTALL)
    assert len([line for line in shown.splitlines() if line]) <= 45
    assert "unsafe" not in shown


def test_it_says_soon_whom_it_is_for_and_ends_soon() -> None:
    assert "It is for you if" in README.split("\n## ", 1)[0]
    assert len(README.splitlines()) <= 130


def test_every_target_it_names_exists() -> None:
    makefile = Path("Makefile").read_text()
    names = re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE)
    assert {"run", "test", "new", "plots", "help"} <= set(names)
    for name in names:
        assert re.search(rf"^{name}:", makefile, re.MULTILINE), name


def test_every_file_it_links_to_exists() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert links
    for link in links:
        assert Path(link).exists(), link
