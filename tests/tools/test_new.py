# SPDX-License-Identifier: GPL-2.0
"""`make new`: what it writes, and what it refuses."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ktcp import author, module, ui


def new(name: str, folder: Path | str) -> subprocess.CompletedProcess[str]:
    command = ["make", "new", f"NAME={name}", f"DIR={folder}"]
    return subprocess.run(command, cwd=module.CHECKOUT, capture_output=True, text=True)


def test_a_new_module_has_its_files_and_name(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    result = new("my_service2", folder)
    assert result.returncode == 0, result.stderr
    files = {path.name: path.read_text() for path in folder.iterdir()}
    assert set(files) == {"Kbuild", "Makefile", "README.md", ".gitignore", "my_service2.rs"}
    assert len(files["Kbuild"].splitlines()) <= 5
    assert 'name: "my_service2"' in files["my_service2.rs"]
    assert "unsafe" not in files["my_service2.rs"]
    assert f"KTCP ?= {module.CHECKOUT}\n" in files["Makefile"]
    for name, text in files.items():
        assert not any(mark in text for mark in ("@NAME@", "@KTCP@", "@AUTHOR@")), name
        assert str(folder / name) in result.stdout
    assert author.name_of(folder) == "my_service2"


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    assert new("one", tmp_path).returncode == 0
    assert (tmp_path / "one.rs").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "Kbuild").write_text("mine")
    result = new("one", tmp_path)
    assert result.returncode != 0
    assert f"error: DIR={tmp_path} is there and not an empty folder" in result.stderr
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


@pytest.mark.parametrize("name", ["", "Big", "1st", "a-b", "a b", "ä", "a.o", "a" * 56, "../x"])
def test_impossible_names_are_refused(tmp_path: Path, name: str) -> None:
    result = new(name, tmp_path / "new")
    assert result.returncode != 0
    assert f"error: NAME={name}" in result.stderr and "\n  -> " in result.stderr
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["ktcp_server", "kernel", "kecho", "core"])
def test_names_that_are_taken_are_refused(tmp_path: Path, name: str) -> None:
    result = new(name, tmp_path / "new")
    assert f"error: NAME={name} is taken" in result.stderr
    assert not (tmp_path / "new").exists()


def test_the_longest_name_is_taken(tmp_path: Path) -> None:
    assert new("a" * 55, tmp_path / "new").returncode == 0


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("", "is not given"),
        ("/tmp/a b", "holds a character"),
        ("/tmp/a:b", "holds a character"),
        ("/dev/null/new", "/dev/null is not a folder"),
        ("/proc/new", "cannot be written"),
        ("lib/new", "lies in this checkout"),
        ("/dev/null", "is there and not an empty folder"),
    ],
)
def test_impossible_folders_are_refused(folder: str, why: str) -> None:
    result = new("one", folder)
    assert result.returncode != 0
    assert f"error: DIR={folder}" in result.stderr.replace(f"{module.CHECKOUT}/", "")
    assert why in result.stderr


def test_no_folder_is_refused() -> None:
    with pytest.raises(ui.Fail, match="DIR= is not given"):
        author.name_of(Path(""))


def test_a_folder_without_a_module_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ui.Fail, match="holds no module"):
        author.name_of(tmp_path)
    (tmp_path / "Kbuild").write_text("obj-m := gone.o\n")
    with pytest.raises(ui.Fail, match="holds no module"):
        author.name_of(tmp_path)
