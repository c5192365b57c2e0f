# SPDX-License-Identifier: GPL-2.0
"""The command line, and the modules of this package that provide its commands.

Each of those modules has a function `register(subparsers)` that adds its commands, with
`set_defaults(call=…)` naming a function that takes the parsed arguments and returns the exit status.
"""

from __future__ import annotations

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import TypeAlias

from . import ui

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

# The module of each command; it is imported only when its command is called.
COMMANDS = {
    "prepare": "distribution",
    "prepare-debug": "debug",
    "update": "apt",
    "modules": "module",
    "rust-analyzer": "module",
    "build-module": "author",
    "test-module": "author",
    "doc": "doc",
    "lint": "lint",
    "fmt": "lint",
    "run": "run",
    "fuzz": "fuzz",
    "kunit": "kunit",
    "join": "join",
    "leave": "join",
    "test": "testrun",
    "test-ring": "testrun",
    "test-unit": "testrun",
    "test-tools": "testrun",
    "test-bench": "testrun",
    "test-model": "testrun",
    "test-debug": "testrun",
    "test-mutations": "mutate",
    "test-e2e": "testrun",
    "test-new": "testrun",
    "test-long": "testrun",
    "test-browser": "testrun",
    "test-kernels": "testrun",
    "plots": "lab.plots",
    "bench": "lab.command",
    "bench-quick": "lab.command",
    "profile": "lab.profile",
    "soak": "soak",
}


def _parser(command: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m ktcp", description=__doc__)
    subparsers = parser.add_subparsers(metavar=f"{{{','.join(COMMANDS)}}}", required=True)
    if command in COMMANDS:
        importlib.import_module(f".{COMMANDS[command]}", __package__).register(subparsers)
    return parser


def _terminated(number: int, _frame: FrameType | None) -> None:
    # So that a `kill` cleans up just as Ctrl-C does.
    raise SystemExit(128 + number)


def main(arguments: Sequence[str]) -> int:
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGHUP, _terminated)
    try:
        parsed = _parser(arguments[0] if arguments else "").parse_args(arguments)
        status: int = parsed.call(parsed)
        return status
    except ui.Fail as failure:
        ui.report(failure)
        return 1
    except KeyboardInterrupt:
        ui.say("interrupted")
        return 130
    finally:
        sys.stdout.flush()
