# SPDX-License-Identifier: GPL-2.0
"""`make fuzz`: libFuzzer against khttpd's code that needs no kernel, for FUZZ_SECONDS (default: 600).

It looks for inputs that break what has to hold for every input, or in which khttpd and hyper see requests
with other beginnings and ends.

What it finds interesting goes to the corpus beside it, which the tests replay: a line for each input.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from pathlib import Path

from . import cache, cli, corpus, crates, module, ui

FOLDER = crates.MODULES / "fuzz"
CORPUS = FOLDER / "corpus.txt"
SECONDS = 600
MAX_LENGTH = 20_000
# Named, so that the flags are for the fuzzer and not for build scripts
TARGET = "x86_64-unknown-linux-gnu"

# The flags that `cargo fuzz` would set; all of them are stable.
COVERAGE = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
]

DICTIONARY = """\
"GET /file HTTP/1.1\\x0d\\x0aHost: h\\x0d\\x0a"
"HEAD "
"OPTIONS * "
"POST "
"HTTP/1.0"
"HTTP/2.0"
"\\x0d\\x0a"
"\\x0d\\x0a\\x0d\\x0a"
"\\x0d\\x0a "
"Connection: close"
"Connection: keep-alive"
"Content-Length: 5"
"Transfer-Encoding: chunked"
"Transfer-Encoding: chunked,"
"Content-Length: 0"
"HTTP/1.2"
"1 ;a=b\\x0d\\x0ax\\x0d\\x0a0\\x0d\\x0aT: v\\x0d\\x0a\\x0d\\x0a"
"If-Match: *"
"Host: [::1]:80"
"%2F"
"?q"
"/folder/"
"0\\x0d\\x0a\\x0d\\x0a"
"Expect: 100-continue"
"Range: bytes=0-1"
"If-None-Match: \\"1.2-a\\""
"If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT"
"If-Range: "
"/../"
"%2e%2e%2f"
"%00"
"http://h/"
"""


def seconds() -> int:
    text = os.environ.get("FUZZ_SECONDS") or str(SECONDS)
    if not text.isdecimal() or not 0 < int(text) <= 86_400:
        raise ui.Fail(f"FUZZ_SECONDS={text} is no time", "choose a number from 1 to 86400")
    return int(text)


def _build() -> Path:
    environment = {"RUSTFLAGS": " ".join(COVERAGE), "CXX": "clang++"}
    if (
        crates.cargo(FOLDER, "build", "--release", "--quiet", f"--target={TARGET}", **environment)
        != 0
    ):
        raise ui.Fail("the fuzzer does not build", "mend what the compiler says above")
    return cache.root() / "target" / FOLDER.name / f"{TARGET}/release/khttpd-fuzz"


def _fuzz_command(_arguments: argparse.Namespace) -> int:
    program = _build()
    with tempfile.TemporaryDirectory() as scratch:
        known, found = Path(scratch) / "known", Path(scratch) / "found"
        dictionary = Path(scratch) / "dictionary"
        dictionary.write_text(DICTIONARY)
        found.mkdir()
        # As libFuzzer wants them: a file for each.
        known.mkdir()
        for number, data in enumerate(corpus.read(CORPUS)):
            (known / str(number)).write_bytes(data)
        limits = [f"-max_total_time={seconds()}", f"-max_len={MAX_LENGTH}", "-timeout=10"]
        command = [str(program), str(found), str(known), f"-dict={dictionary}", *limits]
        status = subprocess.run(
            [*command, "-print_final_stats=1", f"-artifact_prefix={FOLDER}/"], check=False
        ).returncode
        # Only the inputs that reach code that the corpus does not reach.
        merge = [str(program), "-merge=1", "-max_len=1024", str(known), str(found)]
        subprocess.run(merge, check=True, stderr=subprocess.DEVNULL)
        inputs = [file.read_bytes() for file in known.iterdir()]
    corpus.write(CORPUS, inputs)
    module.hand_over(FOLDER)
    print(f"{len(inputs)} inputs in {CORPUS.relative_to(module.CHECKOUT)}")
    return status


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser("fuzz", help="fuzz the HTTP server's protocol")
    command.set_defaults(call=_fuzz_command)
