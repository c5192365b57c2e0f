# SPDX-License-Identifier: GPL-2.0
"""The table of media types, as it is made of the list of the distribution."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from ktcp import media_types
from ktcp.module import CHECKOUT

TOOL = CHECKOUT / "tools/ktcp/media_types.py"


def test_a_table_is_sorted_and_says_the_charset_of_text() -> None:
    text = "# no type\ntext/html\thtml htm # nor this\nimage/png png\naudio/nothing\n\n"
    lines = media_types.table(media_types.read(text)).splitlines()
    assert "html text/html; charset=utf-8" in lines and "htm text/html; charset=utf-8" in lines
    assert "png image/png" in lines
    assert lines == sorted(lines, key=lambda line: line.split()[0].encode())
    assert not any("nothing" in line or "#" in line for line in lines)


def test_of_several_types_one_that_is_registered_is_taken_and_then_the_first() -> None:
    types = media_types.read(
        "application/x-sh sh\ntext/x-sh sh\nchemical/x-y one\nmodel/one one ONE\nmodel/two one\n"
    )
    assert (types["sh"], types["one"]) == ("application/x-sh", "model/one")


def test_what_can_be_no_last_extension_is_left_out() -> None:
    assert set(media_types.read("a/b tar.gz Gz\n")) == {"gz", *media_types.OWN}


def test_the_list_of_the_distribution_is_there_and_complete() -> None:
    # The build root has it, for Python needs it, too.
    types = media_types.read(Path("/etc/mime.types").read_text(encoding="utf-8"))
    assert len(types) > 1000
    assert types["woff2"] == "font/woff2" and types["webmanifest"] == "application/manifest+json"


def test_a_list_that_is_missing_or_none_is_told(tmp_path: Path) -> None:
    other = tmp_path / "list"
    other.write_text("nothing\n")
    for source, told in ((tmp_path / "gone", "media-types"), (other, "no list of media types")):
        command = [sys.executable, str(TOOL), str(source)]
        made = subprocess.run(command, capture_output=True, text=True, check=False)
        assert made.returncode != 0 and told in made.stderr and not made.stdout
