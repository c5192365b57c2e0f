# SPDX-License-Identifier: GPL-2.0
"""How rustdoc is called, and what becomes of links to files of the kernel."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ktcp import doc, ui
from ktcp.kernel import Kernel

SAVED = """savedcmd_lib/ktcp_server.o := OBJTREE=/build RUST_MODFILE=./ktcp_server rustc --edition=2021 \
-Zbinary_dep_depinfo=y -Wmissing_docs --emit=metadata=/out/lib/libktcp_server.rmeta  --cfg MODULE \
@/build/include/generated/rustc_cfg -Zcrate-attr='feature(asm_goto)' --extern kernel \
--out-dir lib/ --emit=dep-info=lib/.ktcp_server.o.d --emit=obj=lib/ktcp_server.o /src/lib/ktcp_server.rs \
; /build/tools/objtool/objtool --link lib/ktcp_server.o

source_lib/ktcp_server.o := /src/lib/ktcp_server.rs
"""


def test_rustdoc_gets_what_rustc_got() -> None:
    environment, arguments = doc.command_of(SAVED)
    assert environment.pop("RUSTC_BOOTSTRAP") == "1"
    assert environment == {"OBJTREE": "/build", "RUST_MODFILE": "./ktcp_server"}
    assert arguments == [
        "--edition=2021",
        "-Wmissing_docs",
        "--cfg",
        "MODULE",
        "@/build/include/generated/rustc_cfg",
        "-Zcrate-attr=feature(asm_goto)",
        "--extern",
        "kernel",
        "/src/lib/ktcp_server.rs",
    ]


def test_a_file_without_a_command_is_refused() -> None:
    with pytest.raises(ui.Fail, match="left no command"):
        doc.command_of("source_lib/ktcp_server.o := x.rs\n")


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    values = {field.name: tmp_path / field.name for field in dataclasses.fields(Kernel)}
    (tmp_path / "source/include").mkdir(parents=True)
    (tmp_path / "source/include/there.h").touch()
    return Kernel(**(values | {"series": "7.3"}))  # type: ignore[arg-type]


def test_links_to_files_that_the_kernel_lacks_are_complaints(
    tmp_path: Path, kernel: Kernel
) -> None:
    page = tmp_path / "output" / doc.CRATE / "page.html"
    page.parent.mkdir(parents=True)
    page.write_text(
        '<a href="srctree/include/there.h">1</a> <a href="srctree/include/gone.h">2</a>'
    )
    complaints = doc.point_at_kernel(tmp_path / "output", kernel)
    assert complaints == ["srctree/include/gone.h: the kernel has no such file"]
    assert f'<a href="{doc.TREE}include/there.h?h=v7.3">1</a>' in page.read_text()
