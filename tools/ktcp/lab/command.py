# SPDX-License-Identifier: GPL-2.0
"""The commands `bench` and `bench-quick`."""

from __future__ import annotations

import argparse

from .. import cli
from . import cases, measure, servers, table

QUICK_SERVERS = (servers.KECHO, servers.EPOLL)
QUICK_RUNS = 5


def _quick(_arguments: argparse.Namespace) -> int:
    lab = measure.prepare()
    counts = measure.all_instructions(lab, QUICK_SERVERS, cases.QUICK, runs=2)
    print(f"\n{table.instructions(counts)}\n", flush=True)
    rates = measure.all_rates(lab, QUICK_SERVERS, cases.QUICK, QUICK_RUNS)
    print(f"\n{table.rates(rates)}", flush=True)
    return 0


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser("bench-quick", help="measure the main cases")
    command.set_defaults(call=_quick)
