# SPDX-License-Identifier: GPL-2.0
"""The contributor's page shows the picture of a connection's states that stands above the enum."""

from __future__ import annotations

import re
from pathlib import Path

SOURCE = Path("lib/connection/driver/conn_state.rs").read_text()
PAGE = Path("Documentation/contributor.md").read_text()


def test_the_picture_is_the_same_in_the_source_and_on_the_page() -> None:
    header = SOURCE.split("\nuse ")[0]
    lines = [line.removeprefix("//!").removeprefix(" ") for line in header.splitlines()]
    picture = re.findall(r"```text\n.*?```", "\n".join(lines), re.DOTALL)
    assert len(picture) == 1
    assert picture[0] in PAGE


def test_the_picture_shows_each_state() -> None:
    body = SOURCE.split("pub(super) enum ConnState<S> {")[1].split("\n}\n")[0]
    states = re.findall(r"^    ([A-Z]\w+)", body, re.MULTILINE)
    assert len(states) == 7
    assert [state for state in states if state not in SOURCE.split("\nuse ")[0]] == []
