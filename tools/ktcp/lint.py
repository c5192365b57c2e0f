# SPDX-License-Identifier: GPL-2.0
"""The lints: each is one test, and can be run alone."""

from __future__ import annotations

import argparse
import ast
import functools
import os
import re
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from . import cache, cli, distribution, doc, kernel, layers, model, module, ui
from .lab import programs

CHECKOUT = module.CHECKOUT
SHELL = re.compile(rb"#! ?/(usr/)?bin/(env |busybox )?(ba|da)?sh\b")
DOCUMENTATION = re.compile(r"//[/!] ")
QUESTION = re.compile(r"(?:What|Whether|How|Who|Whoever)\b")
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
# With literals, which may look like the start of one another
TEXT = re.compile(COMMENT.pattern + r"""|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])'""", re.DOTALL)
USE = re.compile(r"\buse\s[^;]*;")
# The folders whose documentation the lint `prose` reads
DOCUMENTED = (
    "lib",
    "examples/chat",
    "examples/kecho",
    "examples/minimal",
    "kunit",
    "tests/model",
    "tools",
)
# The folders whose Rust code is built for each series of the kernel
BUILT_FOR_ALL = ("lib", "examples", "tests", "tools")
# The folders without `unsafe`, and what their programs are
SAFE = {"examples": "an example", "tests/e2e/modules/perverse": "a perverse program"}
# The error codes in the prelude before 7.3
OLD_ERRORS = frozenset(
    """
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK
    EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE
    EROFS EMLINK EPIPE EDOM ERANGE EOVERFLOW EMSGSIZE ETIMEDOUT ERESTARTSYS ERESTARTNOINTR
    ERESTARTNOHAND ENOIOCTLCMD ERESTART_RESTARTBLOCK EPROBE_DEFER EOPENSTALE ENOPARAM EBADHANDLE
    ENOTSYNC EBADCOOKIE ENOTSUPP ETOOSMALL ESERVERFAULT EBADTYPE EJUKEBOX EIOCBQUEUED
    ERECALLCONFLICT ENOGRACE
    """.split()
)
# Files that cannot hold a line of comment, or are texts of others
WITHOUT_SPDX = re.compile(r"LICENSE|.*\.(md|json|txt|lock|png|svg|bin)|[0-9a-f]{40}")


@dataclass(frozen=True)
class Lint:
    name: str
    what: str
    # Returns the complaints: nothing if all is well.
    check: Callable[[], str]


def files() -> list[Path]:
    """Returns the files that git tracks, and those that it would track after `git add`."""
    # The checkout may belong to a user other than root.
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others"]
    result = subprocess.run(
        [*command, "--exclude-standard"], cwd=CHECKOUT, capture_output=True, check=False
    )
    if result.returncode != 0:
        raise ui.Fail(
            "the lints look at the files that git tracks, and this is not a git checkout",
            "get the sources with `git clone`",
        )
    names = [name.decode() for name in result.stdout.split(b"\0") if name]
    return [path for path in map(CHECKOUT.joinpath, sorted(set(names))) if path.is_file()]


def _suffix(suffix: str) -> list[Path]:
    return [path for path in files() if path.suffix == suffix]


def _shell_scripts() -> list[Path]:
    def starts_as_shell(path: Path) -> bool:
        with path.open("rb") as file:
            return SHELL.match(file.readline()) is not None

    return [path for path in files() if path.suffix == ".sh" or starts_as_shell(path)]


def _output(command: list[str], paths: Iterable[Path]) -> str:
    """Returns a checker's output about the files; nothing if it is content."""
    names = [str(path.relative_to(CHECKOUT)) for path in paths]
    return _said([*command, *names], CHECKOUT) if names else ""


def _said(command: list[str], folder: Path) -> str:
    """Returns the output of a command if it fails; nothing if it succeeds."""
    result = subprocess.run(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return "" if result.returncode == 0 else result.stdout or f"status {result.returncode}"


@functools.cache
def _kernel() -> kernel.Kernel:
    return distribution.prepare()


def _rustfmt_command() -> list[str]:
    return ["rustfmt", "--color", "never", "--config-path", str(_kernel().source / ".rustfmt.toml")]


def _rustfmt() -> str:
    return _output([*_rustfmt_command(), "--check"], _suffix(".rs"))


def _clippy() -> str:
    result = module.clippy(_kernel())
    return "" if result.returncode == 0 else result.stdout


def _cargo_clippy() -> str:
    command = programs.cargo("clippy", "--workspace", "--all-targets", "--quiet")
    folders = (programs.SOURCES, model.SOURCES)
    return "".join(_said([*command, "--", "-Dwarnings"], folder) for folder in folders)


def _black() -> str:
    # It remembers what was in order, unless it is to show differences.
    wrong = _output(["black", "--check"], _suffix(".py"))
    return wrong and _output(["black", "-q", "--diff", "--check"], _suffix(".py"))


def _mypy() -> str:
    cached = f"--cache-dir={cache.root() / 'mypy'}"
    return _output(["mypy", "--strict", "--no-error-summary", cached], _suffix(".py"))


def _spdx() -> str:
    missing = []
    for path in files():
        with path.open("rb") as file:
            head = b"".join(file.readline() for _ in range(3))
        if b"SPDX-License-Identifier: GPL-2.0" not in head:
            if head and not WITHOUT_SPDX.fullmatch(path.name):
                missing.append(f"{path.relative_to(CHECKOUT)}: no SPDX line in its first three")
    return "\n".join(missing)


def unsafe_lines(source: str) -> list[int]:
    """The numbers of the lines of Rust code, comments aside, that say `unsafe`."""
    code = COMMENT.sub(lambda match: "\n" * match[0].count("\n"), source)
    return [n for n, line in enumerate(code.splitlines(), 1) if re.search(r"\bunsafe\b", line)]


def _safe_examples() -> str:
    return "\n".join(
        f"{path.relative_to(CHECKOUT)}:{line}: `unsafe` in {what}"
        for path in _suffix(".rs")
        for folder, what in SAFE.items()
        if path.is_relative_to(CHECKOUT / folder)
        for line in unsafe_lines(path.read_text())
    )


def first_lines(source: str) -> list[tuple[int, str]]:
    """Returns the first line of each piece of documentation in Rust code, with its number."""
    lines = ["", *(line.lstrip() for line in source.splitlines())]
    return [
        (number, line[4:])
        for number, line in enumerate(lines)
        if DOCUMENTATION.match(line) and not lines[number - 1].startswith(line[:3])
    ]


def docstrings(source: str) -> list[tuple[int, str]]:
    """Returns the first line of each docstring in Python code, with its number."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        (node.body[0].lineno, text.splitlines()[0])
        for node in ast.walk(ast.parse(source))
        if isinstance(node, documented) and (text := ast.get_docstring(node))
    ]


def _prose() -> str:
    # A noun phrase or a verb says at once what is documented.
    found = [
        (path.relative_to(CHECKOUT), number, line)
        for suffix, read in ((".rs", first_lines), (".py", docstrings))
        for path in _suffix(suffix)
        if any(path.is_relative_to(CHECKOUT / folder) for folder in DOCUMENTED)
        for number, line in read(path.read_text())
    ]
    questions = [place for place in found if QUESTION.match(place[2])]
    if len(questions) * 100 <= len(found):
        return ""
    listed = [f"{path}:{number}: {line}" for path, number, line in questions]
    return "\n".join([*listed, f"{len(listed)} of {len(found)} first lines ask; 1 % may"])


def unimported_errors(source: str, known: frozenset[str]) -> list[tuple[int, str]]:
    """The error codes of `known` that Rust code names and older preludes lack, with their lines.

    Those that it imports are not among them.
    """

    def blank(match: re.Match[str]) -> str:
        return "\n" * match[0].count("\n")

    code = TEXT.sub(blank, source)
    imported = {name for use in USE.findall(code) for name in re.findall(r"\w+", use)}
    wanted = known - OLD_ERRORS - imported
    return [
        (n, name)
        for n, line in enumerate(USE.sub(blank, code).splitlines(), 1)
        for name in re.findall(r"(?<![\w:])E\w+", line)
        if name in wanted
    ]


def _errors() -> str:
    declared = (_kernel().source / "rust/kernel/error.rs").read_text()
    known = frozenset(re.findall(r"declare_err!\((E\w+),", declared))
    return "\n".join(
        f"{path.relative_to(CHECKOUT)}:{line}: older kernels have no {name} in their prelude: "
        "import it from `error` of the library"
        for path in _suffix(".rs")
        if path.relative_to(CHECKOUT).parts[0] in BUILT_FOR_ALL
        and path.relative_to(CHECKOUT) != Path("lib/util/error.rs")
        for line, name in unimported_errors(path.read_text(), known)
    )


def _layers() -> str:
    return "\n".join(layers.complaints(layers.read(CHECKOUT / "lib")))


LINTS = (
    Lint("rustfmt", "the kernel's formatting", _rustfmt),
    Lint("clippy", "the kernel's lints for Rust, and no warning from Rust or C", _clippy),
    Lint("errors", "no error code that older kernels lack", _errors),
    Lint("cargo-clippy", "no warning of clippy in bench/ and tests/model/", _cargo_clippy),
    Lint("doc", "no warning from rustdoc, no broken link", lambda: doc.complaints(_kernel())),
    Lint("shellcheck", "shell scripts", lambda: _output(["shellcheck"], _shell_scripts())),
    Lint("black", "the formatting of Python", _black),
    Lint("mypy", "the types of Python", _mypy),
    Lint("spdx", "a licence line in every source file", _spdx),
    Lint("prose", "first lines of documentation that say what something is", _prose),
    Lint("layers", "imports in lib/ run one way, and in no circle", _layers),
    Lint("safe-examples", "no `unsafe` in examples/, nor in perverse programs", _safe_examples),
)


def chosen(name: str | None) -> tuple[Lint, ...]:
    if not name:
        return LINTS
    found = tuple(lint for lint in LINTS if lint.name == name)
    if not found:
        raise ui.Fail(
            f"there is no lint `{name}`",
            f"give LINT= one of: {', '.join(lint.name for lint in LINTS)}",
        )
    return found


def run(lints: Iterable[Lint]) -> tuple[int, int]:
    """Runs the lints and shows each; returns how many passed and failed."""
    passed = failed = 0
    for lint in lints:
        complaints = lint.check().rstrip()
        if complaints:
            failed += 1
            print(complaints)
        else:
            passed += 1
        verdict = ui.colour("31", "FAILED") if complaints else ui.colour("32", "passed")
        print(f"{verdict} lint: {lint.name} ({lint.what})", flush=True)
    return passed, failed


def _lint_command(_arguments: argparse.Namespace) -> int:
    passed, failed = run(chosen(os.environ.get("LINT")))
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def _fmt_command(_arguments: argparse.Namespace) -> int:
    complaints = _output(_rustfmt_command(), _suffix(".rs"))
    complaints += _output(["black", "-q"], _suffix(".py"))
    if complaints:
        raise ui.Fail(f"not everything can be formatted:\n{complaints}", "mend the syntax first")
    return 0


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser("lint", help="run the lints")
    command.set_defaults(call=_lint_command)
    command = subparsers.add_parser("fmt", help="format the sources")
    command.set_defaults(call=_fmt_command)
