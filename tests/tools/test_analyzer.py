# SPDX-License-Identifier: GPL-2.0
"""What is added to the kernel's rust-project.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ktcp import analyzer


def _kernels_project() -> dict[str, Any]:
    crates = [
        {"display_name": name, "cfg": ["X"], "edition": "2021", "deps": [], "env": {}}
        for name in ("core", "pin_init", "zerocopy", "zerocopy_derive", "kernel")
    ]
    return {"crates": crates, "sysroot": "/usr"}


def test_every_crate_of_the_kbuild_file_is_found() -> None:
    roots = analyzer.crate_roots((analyzer.CHECKOUT / "Kbuild").read_text())
    names = [str(root.relative_to(analyzer.CHECKOUT)) for root in roots]
    assert names[0] == "lib/ktcp_server.rs"
    assert "examples/kecho/kecho.rs" in names
    assert not [name for name in names if "shim" in name]


def test_the_others_depend_on_the_library() -> None:
    project = _kernels_project()
    roots = [Path("lib/ktcp_server.rs"), Path("examples/kecho/kecho.rs")]
    analyzer.complete(project, roots, Path("/checkout/build/7.3"))
    library, kecho = project["crates"][-2:]
    numbers = {dep["name"]: dep["crate"] for dep in kecho["deps"]}
    assert project["crates"][numbers["ktcp_server"]] is library
    assert project["crates"][numbers["kernel"]]["display_name"] == "kernel"
    assert "ktcp_server" not in [dep["name"] for dep in library["deps"]]
    assert library["env"]["KTCP_GENERATED"] == "/checkout/build/7.3/lib/shim"


def test_paths_are_those_outside_of_the_build_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KTCP_BUILDROOT", "key")
    monkeypatch.setenv("KTCP_CACHE", "/cache")
    monkeypatch.setattr(analyzer, "CHECKOUT", tmp_path)
    (tmp_path / "Kbuild").write_text("")
    (tmp_path / "in.json").write_text(json.dumps(_kernels_project()))
    analyzer.main(tmp_path / "in.json")
    written = json.loads((tmp_path / "rust-project.json").read_text())
    assert written["sysroot"] == "/cache/roots/key/usr"
