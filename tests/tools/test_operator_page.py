# SPDX-License-Identifier: GPL-2.0
"""The operator's page names everything that there is, with its default. (What it shows is typed in
tests/e2e/test_operator.py.)"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "Documentation" / "operator.md").read_text()

COMMENT = re.compile(r"^\s*//.*$", re.MULTILINE)
LOG = re.compile(r'\bpr_(?:emerg|alert|crit|err|warn|notice|info)!\(\s*"([^"]*)"')
PLACE = re.compile(r"\{[^}]*\}")
PARAMETER = re.compile(r"^ {8,16}(\w+): (\S+)(?: \[(\S+)\.\.=(\S+)\])? = (.*),$", re.MULTILINE)
EVENT = re.compile(r"`ktcp_\w+`")

# What the source calls the defaults that are no numbers
DEFAULTS = {
    "IpAddr::V4(Ipv4Addr::LOCALHOST)": "127.0.0.1",
    "Executor::EventLoop": "event_loop",
    "BufferSize::of::<{ 64 << 10 }>()": "65536",
    "$crate::net::ScopedAddr::LOCALHOST": "127.0.0.1",
    "false": "N",
}
# What is shown of an option that is not set
NONE = {
    "::core::option::Option<bool>": "auto",
    "::core::option::Option<$crate::net::Keepalive>": "off",
}


def rows(text: str) -> list[list[str]]:
    """The cells of all tables."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def log_lines() -> list[str]:
    """The format of each line that the library and kecho can print."""
    found = []
    for path in [*CHECKOUT.glob("lib/**/*.rs"), CHECKOUT / "examples/kecho/kecho.rs"]:
        code = COMMENT.sub("", path.read_text())
        # Tests are not loaded by operators.
        code = re.split(r"#\[(?:kernel::prelude::)?kunit_tests", code)[0]
        found += LOG.findall(code)
    return found


def plain(number: str) -> str:
    return str(int(number.replace("_", "")))


def test_the_sources_are_understood() -> None:
    assert len(log_lines()) >= 8
    assert not re.search(r"\b(printk|pr_\w+|WARN\w*)\(", _c_sources()), "C prints a line"


def _c_sources() -> str:
    return "".join(path.read_text() for path in CHECKOUT.glob("lib/shim/*.[ch]"))


@pytest.mark.parametrize("line", log_lines())
def test_each_line_of_the_log_is_explained(line: str) -> None:
    words = [re.escape(word) for word in PLACE.split(line.removesuffix("\\n"))]
    # Up to the placeholder at an end, whatever stands for it; none is at both ends alone.
    wanted = re.compile(r"\S+".join(words))
    first = [row[0] for row in rows(PAGE)]
    assert any(wanted.search(cell) for cell in first), line


def test_each_parameter_is_listed_with_its_default_and_range() -> None:
    source = (CHECKOUT / "examples/kecho/kecho.rs").read_text()
    listed = {row[0].strip("`"): row for row in rows(PAGE) if row[0].startswith("`")}
    found = PARAMETER.findall(source)
    assert len(found) >= 8
    # Those of every server
    macro = (
        (CHECKOUT / "lib/param/listen.rs").read_text().split("$($own)*")[1].split("impl $Name")[0]
    )
    common = PARAMETER.findall(macro)
    assert len(common) >= 8
    for name, kind, least, most, default in found + common:
        row = listed[name]
        expected = NONE.get(kind, "") if default == "None" else DEFAULTS.get(default)
        if expected is None:
            expected = plain(default)
        assert row[1] == f"`{expected}`", name
        if least:
            top = {"u16::MAX": "65535"}.get(most) or plain(most)
            assert row[2] == f"{plain(least)} to {top}", name


def test_each_figure_is_explained() -> None:
    source = (CHECKOUT / "lib/stats.rs").read_text()
    fields = re.findall(r"^    \w+ => (\w+),$", source, re.MULTILINE)
    assert len(fields) >= 18
    first = " ".join(row[0] for row in rows(PAGE))
    assert [
        field for field in ["open", "most_open", "closing", *fields] if f"`{field}`" not in first
    ] == []


def test_each_trace_event_is_explained_with_its_fields() -> None:
    header = (CHECKOUT / "lib/shim/trace.h").read_text()
    events = re.findall(
        r"^(?:TRACE_EVENT_FN|DEFINE_EVENT_FN)\((?:ktcp_bytes, )?(\w+),", header, re.MULTILINE
    )
    assert len(events) >= 5
    listed = {row[0].strip("`"): row[2] for row in rows(PAGE) if EVENT.fullmatch(row[0])}
    assert sorted(events) == sorted(listed)
    reasons = re.findall(r'c"(\w+)"', (CHECKOUT / "lib/connection/trace.rs").read_text())
    assert len(reasons) >= 9
    explained = listed["ktcp_close"] + listed["ktcp_refuse"]
    assert [reason for reason in reasons if f"`{reason}`" not in explained] == []


def test_the_defaults_of_the_builder_are_those_of_the_page() -> None:
    source = (CHECKOUT / "lib/server/builder.rs").read_text()
    new = source[source.index("    fn new(name") :].split("\n    }\n")[0]
    assert "connections: 10_000" in new and "| connections | 10,000 |" in PAGE
    limits = (CHECKOUT / "lib/server/limits.rs").read_text()
    assert "per_peer: None" in new and "prefixes: PeerPrefixes::default()" in new
    assert "Self { v4: 32, v6: 64 }" in limits
    assert "connections per peer: an IPv4 address, or 64 bits of an IPv6 address | none |" in PAGE
    assert "input: BufferSize::of::<{ 64 << 10 }>()" in new
    assert "output: BufferSize::of::<{ 64 << 10 }>()" in new
    assert PAGE.count("| 64 KiB a connection") == 2
    assert "timeouts: Timeouts::default()" in new
    assert "| idle, receive and send timeouts | none |" in PAGE
    assert "drain: Delta::from_secs(5)" in new and "| 5 s |" in PAGE
