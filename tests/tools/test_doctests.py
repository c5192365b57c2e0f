# SPDX-License-Identifier: GPL-2.0
"""Which examples are found in the documentation, and what becomes of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ktcp import doctests
from ktcp.doctests import Unusable, of_markdown, of_source

SOURCE = """
//! Text
//!
//! ```
//! use kernel::prelude::*;
//! # fn hidden() {}
//! #[derive(Clone)]
//! struct Shown;
//! #
//! ## no mark
//! ```

/// ```text
/// not Rust
/// ```
///
/// ```no_run
/// loop {}
/// ```
fn f() {
    // ```
    let x = "```";
}
"""


def test_examples_of_a_source_file() -> None:
    shown, quiet = of_source("lib/a/b.rs", SOURCE)
    assert (shown.line, shown.runs) == (4, True)
    assert shown.code == (
        "use kernel::prelude::*;\nfn hidden() {}\n#[derive(Clone)]\nstruct Shown;\n\n# no mark\n"
    )
    assert (quiet.code, quiet.runs) == ("loop {}\n", False)
    assert "fn lib_a_b_2() -> " in quiet.function(2)
    assert "only_compiled" in quiet.function(2) and "only_compiled" not in shown.function(1)


def test_every_block_of_the_library_is_found() -> None:
    fences = 0
    for file in Path("lib").rglob("*.rs"):
        source = file.read_text()
        fences += len(re.findall(r"^\s*//[/!] ```", source, re.MULTILINE))
        # A picture is no example.
        fences -= 2 * len(re.findall(r"^\s*//[/!] ```text", source, re.MULTILINE))
    found = [one for one in doctests.collect(Path.cwd()) if one.path.startswith("lib/")]
    assert len(found) == fences // 2 > 5


def test_examples_of_markdown() -> None:
    text = "```sh\nmake\n```\n\n<!-- example:\nuse a::b;\n-->\n```rust\nb();\n# kept\n```\n\n"
    (example,) = of_markdown("Documentation/x-y.md", text + "```\nnot Rust\n```\n")
    assert example.code == "use a::b;\nb();\n# kept\n"
    assert example.line == 8
    assert "fn documentation_x_y_1()" in example.function(1)


def test_what_is_hidden_belongs_to_the_next_block_only() -> None:
    text = "<!-- example:\nuse a::b;\n-->\n\n```rust\nb();\n```\n\n```rust\nc();\n```\n"
    assert [one.code for one in of_markdown("a.md", text)] == ["use a::b;\nb();\n", "c();\n"]


def test_a_module_is_started_and_dropped() -> None:
    code = "//! The module M\nmodule! {\n    type: M,\n}\n\nstruct M;\n\nimpl kernel::Module for M {\n}\n"
    function = of_markdown("a.md", f"```rust\n{code}```\n")[0].function(1)
    assert "module!" not in function and "//!" not in function
    assert "drop(<M as kernel::Module>::init(&crate::THIS_MODULE)?);" in function


def test_an_example_with_a_value_gets_no_other() -> None:
    (example,) = of_markdown("a.md", "```rust\nf()?;\nOk::<(), Error>(())\n```\n")
    assert example.function(1).count("Ok") == 1


@pytest.mark.parametrize(
    "text", ["```rust,ignore\n```\n", "```rust\nno end\n", "```rust,compile_fail\n```\n"]
)
def test_what_cannot_be_tested_is_refused(text: str) -> None:
    with pytest.raises(Unusable, match="a.md:1: "):
        of_markdown("a.md", text)
