# SPDX-License-Identifier: GPL-2.0
"""Inputs for a fuzzer in one file: a line each, with escapes for unreadable bytes.

A line is the input as a literal of bytes in Rust or Python would have it, without the quotes: printable
ASCII stands for itself, a backslash is doubled, and everything else is `\\r`, `\\n`, `\\t` or `\\xNN`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

SHORT = {ord("\\"): "\\\\", ord("\r"): "\\r", ord("\n"): "\\n", ord("\t"): "\\t"}
LONG = {escape[1]: byte for byte, escape in SHORT.items()}

ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|([\\rnt]))")


def escaped(data: bytes) -> str:
    """The line of an input."""
    return "".join(
        SHORT.get(byte) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}") for byte in data
    )


def unescaped(line: str) -> bytes:
    """The input of a line; raises `ValueError` if it is not one."""
    parts: list[bytes] = []
    end = 0
    for match in ESCAPE.finditer(line):
        parts.append(_plain(line[end : match.start()]))
        parts.append(bytes([int(match[1], 16) if match[1] else LONG[match[2]]]))
        end = match.end()
    return b"".join([*parts, _plain(line[end:])])


def _plain(text: str) -> bytes:
    if "\\" in text or not (text.isascii() and text.isprintable()):
        raise ValueError(f"{text!r} is not escaped")
    return text.encode()


def read(file: Path) -> list[bytes]:
    return [unescaped(line) for line in file.read_text().splitlines()]


def write(file: Path, inputs: Iterable[bytes]) -> None:
    """Writes each input once, the short ones first, so that additions move few lines."""
    chosen = sorted(set(inputs), key=lambda data: (len(data), data))
    file.write_text("".join(f"{escaped(data)}\n" for data in chosen))
