# SPDX-License-Identifier: GPL-2.0
"""Inputs of a fuzzer as lines of text."""

from __future__ import annotations

from pathlib import Path

import pytest

from ktcp import corpus, fuzz


@pytest.mark.parametrize(
    "data, line",
    [
        (b"", ""),
        (b"GET / HTTP/1.1\r\n\r\n", r"GET / HTTP/1.1\r\n\r\n"),
        (b"\\x41", r"\\x41"),
        (b'"\t\x00\x7f\xff"', r'"\t\x00\x7f\xff"'),
    ],
)
def test_bytes_become_a_line_and_the_line_those_bytes(data: bytes, line: str) -> None:
    assert corpus.escaped(data) == line
    assert corpus.unescaped(line) == data


def test_every_byte_survives() -> None:
    every = bytes(range(256)) * 2
    line = corpus.escaped(every)
    assert line.isascii() and line.isprintable()
    assert corpus.unescaped(line) == every


@pytest.mark.parametrize("line", ["\\", r"\x4", r"\xAB", r"\q", "ä", "tab\t"])
def test_a_line_that_is_not_escaped_is_refused(line: str) -> None:
    with pytest.raises(ValueError):
        corpus.unescaped(line)


def test_a_file_holds_each_input_once_and_the_short_ones_first(tmp_path: Path) -> None:
    file = tmp_path / "corpus.txt"
    corpus.write(file, [b"long\n", b"b", b"", b"a", b"b"])
    assert file.read_text() == "\na\nb\nlong\\n\n"
    assert corpus.read(file) == [b"", b"a", b"b", b"long\n"]


def test_the_corpus_is_written_as_it_would_be(tmp_path: Path) -> None:
    again = tmp_path / "corpus.txt"
    corpus.write(again, corpus.read(fuzz.CORPUS))
    assert again.read_text() == fuzz.CORPUS.read_text()
