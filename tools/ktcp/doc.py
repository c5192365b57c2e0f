# SPDX-License-Identifier: GPL-2.0
"""The library's documentation, by rustdoc, into `build/doc`.

rustdoc is given what the kernel's build system gave to rustc, as the file that it keeps for each
object says: so both see the same crate.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import cli, distribution, kernel, module, ui

CRATE = "ktcp_server"
OUTPUT = module.BUILD / "doc"

# The command of `lib/.ktcp_server.o.cmd`, up to what rustc is followed by.
COMMAND = re.compile(r"^savedcmd_\S+ := (.*?\.rs)\b", re.MULTILINE)
# Flags that rustdoc does not know, or knows in another sense
FOREIGN = re.compile(r"--emit=.*|--out-dir(=.*)?|-Zbinary_dep_depinfo=y")

# Where the documentation of the crates lies that links lead to
ROOTS = {
    "core": "https://doc.rust-lang.org/",
    "kernel": "https://rust.docs.kernel.org/",
    "pin_init": "https://rust.docs.kernel.org/",
}
SRCTREE = re.compile(r'(?<=<a href=")srctree/([^"]+)')
TREE = "https://git.kernel.org/pub/scm/linux/kernel/git/torvalds/linux.git/tree/"


def command_of(saved: str) -> tuple[dict[str, str], list[str]]:
    """The environment, and the arguments for rustdoc, in the text of a `.cmd` file."""
    match = COMMAND.search(saved)
    if match is None:
        raise ui.Fail(f"the kernel's build system left no command for {CRATE}", "`make clean`")
    words = shlex.split(match[1])
    # As the kernel's own Makefile: it uses features that are unstable.
    environment = {"RUSTC_BOOTSTRAP": "1"}
    while "=" in words[0]:
        name, value = words.pop(0).split("=", 1)
        environment[name] = value
    arguments, rest = [], words[1:]
    while rest:
        word = rest.pop(0)
        if not FOREIGN.fullmatch(word):
            arguments.append(word)
        elif word == "--out-dir":
            rest.pop(0)
    return environment, arguments


def _rustdoc(folder: Path, output: Path, *more: str) -> str:
    """Runs rustdoc for the library that was built in `folder`; returns its complaints."""
    saved = (folder / f"lib/.{CRATE}.o.cmd").read_text()
    environment, arguments = command_of(saved)
    roots = [f"--extern-html-root-url={name}={url}" for name, url in ROOTS.items()]
    command = ["rustdoc", *arguments, *roots, "-Dwarnings", f"--output={output}", *more]
    # Kbuild gives this one to its commands by `export`.
    environment["KTCP_GENERATED"] = str((folder / "lib/shim").absolute())
    result = subprocess.run(
        ["env", *(f"{name}={value}" for name, value in environment.items()), *command],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return "" if result.returncode == 0 else result.stdout or f"status {result.returncode}"


def point_at_kernel(output: Path, prepared: kernel.Kernel) -> list[str]:
    """Makes links of `srctree/…` lead to the kernel's source; returns those that lead nowhere."""
    lost: set[str] = set()
    for page in (output / CRATE).rglob("*.html"):
        text = page.read_text()
        paths = SRCTREE.findall(text)
        lost.update(path for path in paths if not (prepared.source / path).exists())
        if paths:
            page.write_text(SRCTREE.sub(rf"{TREE}\1?h=v{prepared.series}", text))
    return [f"srctree/{path}: the kernel has no such file" for path in sorted(lost)]


def complaints(prepared: kernel.Kernel) -> str:
    """Returns rustdoc's complaints about the documentation, that of private items included."""
    folder = module.build(prepared, quiet=True)
    with tempfile.TemporaryDirectory() as scratch:
        # Links from public to private items are only complained about where those are left out.
        found = _rustdoc(folder, Path(scratch) / "public")
        found += _rustdoc(folder, Path(scratch) / "all", "--document-private-items")
        return found + "\n".join(point_at_kernel(Path(scratch) / "all", prepared))


def build(prepared: kernel.Kernel) -> Path:
    """Writes the documentation of public items; returns its first page."""
    folder = module.build(prepared, quiet=True)
    shutil.rmtree(OUTPUT, ignore_errors=True)
    wrong = _rustdoc(folder, OUTPUT) or "\n".join(point_at_kernel(OUTPUT, prepared))
    if wrong:
        raise ui.Fail(f"rustdoc complains:\n{wrong}", "mend what it says above")
    module.hand_over(module.BUILD)
    return OUTPUT / CRATE / "index.html"


def _doc_command(_arguments: argparse.Namespace) -> int:
    page = build(distribution.prepare())
    print(page.relative_to(module.CHECKOUT))
    return 0


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser("doc", help="write the documentation of the library")
    command.set_defaults(call=_doc_command)
