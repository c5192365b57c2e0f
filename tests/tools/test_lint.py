# SPDX-License-Identifier: GPL-2.0
"""The lints find what they are there for."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ktcp import lint, ui

SPDX = "// SPDX-License-Identifier: GPL-2.0\n"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    monkeypatch.setattr(lint, "CHECKOUT", tmp_path)
    return tmp_path


def _check(name: str) -> str:
    (found,) = lint.chosen(name)
    return found.check()


def test_unsafe_is_seen_in_code_only() -> None:
    source = "// unsafe\n/* unsafe\n*/ fn f() {\n    unsafe { g() }\n}\nlet unsafe_name = 1;\n"
    assert lint.unsafe_lines(source) == [4]


def test_unsafe_in_examples_and_perverse_programs_is_a_complaint(checkout: Path) -> None:
    for folder in ("lib", "examples/kecho", "tests/e2e/modules/perverse"):
        (checkout / folder).mkdir(parents=True)
        (checkout / folder / "x.rs").write_text("fn f() {\n    unsafe { g() }\n}\n")
    assert _check("safe-examples").splitlines() == [
        "examples/kecho/x.rs:2: `unsafe` in an example",
        "tests/e2e/modules/perverse/x.rs:2: `unsafe` in a perverse program",
    ]


def test_errors_that_older_kernels_lack_are_found_unless_imported() -> None:
    known = frozenset({"ENOMEM", "ENOTCONN", "EDEADLK"})
    source = """// ENOTCONN
use crate::{
    error::EDEADLK,
    x, //
};
fn f() -> Result {
    pr_info!("http://ENOTCONN", '"');
    g(EDEADLK, ENOMEM, error::ENOTCONN)
        .map_err(|_| ENOTCONN)
}
"""
    assert lint.unimported_errors(source, known) == [(9, "ENOTCONN")]
    assert lint.unimported_errors(source.replace("EDEADLK,", "ENOTCONN,", 1), known) == [
        (8, "EDEADLK")
    ]


def test_a_file_without_its_spdx_line_is_a_complaint(checkout: Path) -> None:
    (checkout / ".gitignore").write_text("# SPDX-License-Identifier: GPL-2.0\nignored.c\n")
    (checkout / "with.c").write_text(SPDX)
    (checkout / "ignored.c").write_text("int x;\n")
    (checkout / "README.md").write_text("# Read me\n")
    assert _check("spdx") == ""
    (checkout / "without.c").write_text("int x;\n")
    assert "without.c" in _check("spdx")


def test_shellcheck_finds_scripts_by_their_first_line(checkout: Path) -> None:
    (checkout / "start").write_text("#!/bin/sh\necho $1\n")
    assert "SC2086" in _check("shellcheck")


def test_black_and_mypy_complain_of_format_and_types(checkout: Path) -> None:
    (checkout / "x.py").write_text("def f(x):\n  return x\n")
    assert "+    return x" in _check("black")
    assert "missing a type annotation" in _check("mypy")
    (checkout / "x.py").write_text("def f(x: int) -> int:\n    return x\n")
    assert _check("black") == _check("mypy") == ""


def test_a_failure_is_counted(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (checkout / "x.c").write_text("int x;\n")
    assert lint.run(lint.chosen("spdx")) == (0, 1)
    assert "FAILED lint: spdx" in capsys.readouterr().out
    (checkout / "x.c").write_text(SPDX)
    assert lint.run(lint.chosen("spdx")) == (1, 0)


def test_an_unknown_lint_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ui.Fail) as failure:
        lint.chosen("spelling")
    assert "rustfmt" in failure.value.hint


def test_a_folder_outside_of_git_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lint, "CHECKOUT", tmp_path)
    with pytest.raises(ui.Fail, match="not a git checkout"):
        lint.files()


def test_first_lines_are_those_of_each_piece_of_documentation() -> None:
    source = """//! Whether it is so.
//! More of that.

/// A thing.
///
/// What it does not count.
pub fn thing() {
    //// No documentation.
    // Nor this.
}
    /// How it is made.
    field: u8,
"""
    assert lint.first_lines(source) == [
        (1, "Whether it is so."),
        (4, "A thing."),
        (11, "How it is made."),
    ]


def test_first_lines_of_python_are_those_of_docstrings() -> None:
    source = '''# No documentation.
"""What is tested.

More of that.
"""

class Thing:
    """A thing."""

    async def wait(self) -> None:
        "How it waits."
        """Nor this."""

def plain() -> str:
    return """Whether it is so."""
'''
    assert sorted(lint.docstrings(source)) == [
        (2, "What is tested."),
        (8, "A thing."),
        (11, "How it waits."),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lib/one.rs", "/// Whether it is so.\n"),
        ("kunit/two.rs", "//! What it does.\n"),
        ("tools/three.py", '"""How it is made."""\n'),
    ],
)
def test_a_first_line_that_asks_fails_the_lint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    monkeypatch.setattr(lint, "CHECKOUT", tmp_path)
    path = tmp_path / name
    path.parent.mkdir()
    path.write_text(text)
    monkeypatch.setattr(lint, "files", lambda: [path])
    (prose,) = lint.chosen("prose")
    assert f"{name}:1: " in prose.check()


def test_a_question_outside_of_the_documented_folders_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lint, "CHECKOUT", tmp_path)
    path = tmp_path / "tests.py"
    path.write_text('"""What is tested."""\n')
    monkeypatch.setattr(lint, "files", lambda: [path])
    (prose,) = lint.chosen("prose")
    assert not prose.check()
