# SPDX-License-Identifier: GPL-2.0
"""Where instructions go, as far as that needs no guest."""

from __future__ import annotations

from collections import Counter

import pytest

from ktcp import ui
from ktcp.lab import profile

KALLSYMS = """\
ffffffff81000000 T _text
ffffffff81000100 T tcp_ack
ffffffff81000100 t tcp_ack_alias
ffffffff81000200 D jiffies
ffffffffc0001000 t drive\t[kecho]
"""


def test_an_address_belongs_to_the_function_before_it() -> None:
    symbols = profile.Symbols(KALLSYMS)
    assert symbols.name(0xFFFFFFFF81000100) == "tcp_ack"
    # Data is no code.
    assert symbols.name(0xFFFFFFFF81000234) == "tcp_ack"
    assert symbols.name(0xFFFFFFFFC0001010) == "drive [kecho]"
    assert symbols.name(0x401000) == "user space"


def test_blocks_of_one_function_are_added_up() -> None:
    blocks = profile.parse("ffffffff81000100 3 10\nffffffff81000110 2 5\n401000 7 1\n")
    found = profile.by_function(blocks, profile.Symbols(KALLSYMS))
    assert found == Counter({"tcp_ack": 40, "user space": 7})


def test_every_function_has_a_group() -> None:
    groups = {name for name, _ in profile.GROUPS}
    names = ["drive [kecho]", "tcp_ack", "memset", "kfree", "ip_rcv", "do_syscall_64", "frob"]
    found = [profile.group(name) for name in names]
    assert set(found) <= groups
    assert found[0] == "the library and its handler"
    assert found[-1] == "the rest"


def test_the_groups_of_a_table_add_up() -> None:
    lines = profile.table({"kecho": {"tcp_ack": 1000.0, "drive [kecho]": 200.0, "frob": 1.0}})
    assert "     1,201  all" in lines
    assert "       200  drive [kecho]" in lines
    assert "frob" not in lines


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_number_of_connections_is_checked(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONNECTIONS", value)
    with pytest.raises(ui.Fail, match=f"CONNECTIONS={value}"):
        profile._wanted()


def test_a_request_by_http_is_for_a_file_of_that_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVERS", "khttpd,nginx")
    monkeypatch.setenv("SIZE", str(1 << 20))
    chosen = profile._chosen()
    assert [server.name for server in chosen] == ["khttpd", "nginx"]
    wanted = profile._wanted(chosen[0].protocol)
    assert wanted.arguments == "--connections 64 --path /1m.bin"
    assert wanted.repeated(2).requests == 2 * wanted.requests
    monkeypatch.setenv("SIZE", "64")
    with pytest.raises(ui.Fail, match="SIZE=64"):
        profile._wanted("http")


def test_servers_of_different_protocols_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVERS", "kecho,nginx")
    with pytest.raises(ui.Fail, match="echo and http"):
        profile._chosen()
