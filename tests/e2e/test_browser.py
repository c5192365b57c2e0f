# SPDX-License-Identifier: GPL-2.0
"""khttpd, as a person sees it in a browser. `make test-browser` brings the browser along."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ktcp import browser, module
from .web import FILES, Web

PICTURES = module.BUILD / "browser"
PNG = b"\x89PNG\r\n\x1a\n"

pytestmark = pytest.mark.skipif(
    shutil.which(browser.PROGRAM) is None,
    reason=f"no {browser.PROGRAM} in the build root: `make test-browser` installs it",
)


def _browse(folder: Path, *arguments: str) -> str:
    command = browser.command(folder / "profile", *arguments)
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def _see(site: Web, path: str, folder: Path, name: str) -> str:
    """The page as the browser has understood it; a picture of it is left in build/browser/."""
    dom = _browse(folder, "--dump-dom", site.url(path))
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture = PICTURES / f"{name}.png"
    picture.unlink(missing_ok=True)
    _browse(folder, f"--screenshot={picture}", "--window-size=900,700", site.url(path))
    assert picture.read_bytes().startswith(PNG)
    module.hand_over(module.BUILD)
    return dom


def test_a_listing(site: Web, tmp_path: Path) -> None:
    dom = _see(site, "/", tmp_path, "listing")
    assert "<title>/</title>" in dom
    rows = re.findall(r"<tr>.*?</tr>", dom, re.DOTALL)
    odd = next(row for row in rows if "a b%" in row)
    # A name with everything in it that means something in HTML is text, and its link leads there.
    assert "a b%&amp;'\"&lt;ü&gt;.txt" in odd, odd
    hello = next(row for row in rows if "hello.txt" in row)
    assert f">{len(FILES['hello.txt'])}</td>" in hello
    assert '<a href="./folder/">folder/</a>' in dom


def test_the_status_page(site: Web, tmp_path: Path) -> None:
    for _ in range(3):
        assert site.curl("/nothing").status == 404
    dom = _see(site, "/_ktcp/stats", tmp_path, "stats")
    assert "<h1>khttpd</h1>" in dom
    assert re.search(r"<th>Connections open</th><td>[1-9]", dom), dom
    assert re.search(r"4xx[^<]*</th><td>[3-9]", dom), dom
    # The plot is one of the page's elements, with a point for each second.
    points = re.search(r'<polyline points="([^"]*)"', dom)
    assert points is not None and len(points[1].split()) == 60


def test_an_error(site: Web, tmp_path: Path) -> None:
    assert "404 Not Found" in _browse(tmp_path, "--dump-dom", site.url("/nothing"))
