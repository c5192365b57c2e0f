# SPDX-License-Identifier: GPL-2.0
"""Imports that run the wrong way are found, and the contributor's page shows the layers."""

from __future__ import annotations

import re
from pathlib import Path

from ktcp import layers

PAGE = Path("Documentation/contributor.md").read_text()


def test_nested_trees_and_paths_in_code_are_imports() -> None:
    source = """
//! See [it](crate::server::config).
use crate::{
    net::{
        self,
        socket::Socket, //
    },
    sync::latch::*, //
};
use super::peer::Peer;
use kernel::sync::Arc;
fn f() -> &'static str { crate::util::backoff::longest(); "crate::param::x" }
mod slow {
    use super::{raw, super::input};
}
"""
    sources = dict.fromkeys(
        "net net::socket server server::config sync::latch util::backoff param handler "
        "handler::peer handler::input".split(),
        "",
    )
    sources["handler::output"] = source
    assert layers.imports(sources)["handler::output"] == {
        "net",
        "net::socket",
        "sync::latch",
        "handler::peer",
        "handler::input",
        "util::backoff",
    }


def test_an_import_of_a_higher_layer_is_a_complaint() -> None:
    sources = {"net::socket": "use crate::server::Shared;", "server": "use crate::net::socket;"}
    assert layers.complaints(sources) == ["net::socket: imports server, which is above it"] + [
        "a circle: net::socket -> server -> net::socket"
    ]


def test_two_files_of_one_layer_that_import_each_other_are_a_circle() -> None:
    sources = {
        "net::a": "use super::b::B;",
        "net::b": "use crate::net::c;",
        "net::c": "fn f(_: &super::a::A) {}",
    }
    assert layers.complaints(sources) == ["a circle: net::a -> net::b -> net::c -> net::a"]


def test_a_module_and_its_children_are_no_circle() -> None:
    assert layers.complaints({"net": "use self::a::A;", "net::a": "use super::Net;"}) == []


def test_what_a_macro_names_for_its_users_is_no_import() -> None:
    source = "macro_rules! m { () => { $crate::Net::new(crate::__LOG_PREFIX) }; }"
    assert layers.complaints({layers.ROOT: "", "net": source}) == []


def test_a_file_in_no_layer_and_an_import_from_the_root_are_complaints() -> None:
    sources = {layers.ROOT: "pub use self::net::Net;", "net": "use crate::Net;", "new::x": ""}
    assert layers.complaints(sources) == [
        "net: imports from the root of the crate",
        "new::x: is in no layer: add `new` to LAYERS",
    ]


def test_each_layer_is_there() -> None:
    found = {module.split("::")[0] for module in layers.read(Path("lib"))}
    assert found == {*layers.LAYERS, layers.ROOT}


def test_the_page_shows_the_layers_in_their_order() -> None:
    section = PAGE.split("## Layers")[1].split("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(layers.LAYERS)
