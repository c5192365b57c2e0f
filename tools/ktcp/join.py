# SPDX-License-Identifier: GPL-2.0
"""Joins this checkout to a kernel tree, as `net/ktcp_server`, and takes it out again.

A module that uses the library can be joined as well, as `net/ktcp_user`.

`kunit.py` and built-in code know the kernel tree only. Joining adds one link and a line each in
`net/Kconfig` and `net/Makefile`; it can be repeated and undone. The files are replaced rather
than written to, for a tree may be made of hard links to another one.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from . import cli, ui

LINK = Path("net/ktcp_server")
KCONFIG_LINE = 'source "net/ktcp_server/Kconfig"\n'
MAKEFILE_LINE = "obj-y += ktcp_server/\n"
USER_LINK = Path("net/ktcp_user")
# The library's metadata has to be there first.
USER_LINES = "obj-y += ktcp_user/\n$(obj)/ktcp_user: $(obj)/ktcp_server\n"
# `net/Kconfig` ends with it, and what stands behind is outside of CONFIG_NET.
KCONFIG_END = "endif   # if NET\n"


def _replace(file: Path, text: str) -> None:
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(text)
    fresh.chmod(file.stat().st_mode)
    fresh.rename(file)


def _remove_link(link: Path) -> None:
    if link.exists() and not link.is_symlink():
        raise ui.Fail(
            f"{link} is there, and no link", "move it away: that is where the library goes"
        )
    link.unlink(missing_ok=True)


def leave(tree: Path) -> None:
    """Undoes `join` in the kernel tree `tree`."""
    kconfig, makefile = tree / "net/Kconfig", tree / "net/Makefile"
    if not kconfig.is_file() or not makefile.is_file():
        raise ui.Fail(f"{tree} is no kernel source tree", "name the folder that holds its `net`")
    _remove_link(tree / LINK)
    _remove_link(tree / USER_LINK)
    lines = ((kconfig, KCONFIG_LINE), (makefile, USER_LINES), (makefile, MAKEFILE_LINE))
    for file, line in lines:
        text = file.read_text()
        if line in text:
            _replace(file, text.replace(line, ""))


def join(tree: Path, checkout: Path, user: Path | None = None) -> None:
    """Makes `checkout`, and the module in `user` if given, a part of the kernel tree `tree`."""
    leave(tree)
    kconfig, makefile = tree / "net/Kconfig", tree / "net/Makefile"
    text = kconfig.read_text()
    if text.count(KCONFIG_END) != 1:
        raise ui.Fail(
            f"{kconfig} does not end as expected",
            f"add the line `{KCONFIG_LINE.strip()}` before its last `endif` by hand, "
            f"`{MAKEFILE_LINE.strip()}` to net/Makefile, and a link {LINK} to this checkout",
        )
    _replace(kconfig, text.replace(KCONFIG_END, KCONFIG_LINE + KCONFIG_END))
    lines = MAKEFILE_LINE + (USER_LINES if user else "")
    _replace(makefile, makefile.read_text() + lines)
    (tree / LINK).symlink_to(checkout, target_is_directory=True)
    if user:
        (tree / USER_LINK).symlink_to(user, target_is_directory=True)


# --- The command line ---


def _join_command(arguments: argparse.Namespace) -> int:
    join(arguments.tree, Path.cwd())
    return 0


def _leave_command(arguments: argparse.Namespace) -> int:
    leave(arguments.tree)
    return 0


def register(subparsers: cli.Subparsers) -> None:
    for name, call, what in (
        ("join", _join_command, "make this checkout a part of a kernel tree"),
        ("leave", _leave_command, "take it out again"),
    ):
        command = subparsers.add_parser(name, help=what)
        command.add_argument("tree", type=Path, help="the kernel source tree")
        command.set_defaults(call=call)
