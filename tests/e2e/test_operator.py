# SPDX-License-Identifier: GPL-2.0
"""Types what the operator's page shows, and compares what comes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ktcp import module, vm
from .lab import eventually

PAGE = module.CHECKOUT / "Documentation" / "operator.md"
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What is another each time: times, ports that the kernel chose, who traces and where.
VARIES = (
    (re.compile(r"\[ *\d+\.\d{6}\]"), "[TIME]"),
    # In softirq context it is whoever was interrupted that receives and sends.
    (re.compile(r"^ *\S+-\d+ +\[\d{3}\] \S+ +\d+\.\d{6}: (?=ktcp_(receive|send):)"), "TASK TIME: "),
    (re.compile(r"^ *(\S+)-\d+ +\[\d{3}\] \S+ +\d+\.\d{6}:"), r"\1 TIME:"),
    (re.compile(r"^kecho/loop\d+ "), "kecho/loop "),
    (re.compile(r"(peer=10\.0\.2\.15|^10\.0\.2\.15):\d+"), r"\1:PORT"),
    (re.compile(r" +(idle|queued|polled) +\d+$"), r" \1 MS"),
    (re.compile(r" +$"), ""),
)


@dataclass
class Step:
    """A command, and what it is to print."""

    line: int
    command: str
    output: list[str]


def steps(text: str) -> Iterator[Step]:
    for block in BLOCK.finditer(text):
        step = None
        first = text[: block.start(1)].count("\n") + 1
        for number, line in enumerate(block[1].splitlines(), first):
            if line.startswith("# "):
                if step:
                    yield step
                step = Step(number, line[2:], [])
            else:
                assert step, f"line {number}: output before a command"
                step.output.append(line)
        if step:
            yield step


def normal(lines: list[str]) -> list[str]:
    for pattern, same in VARIES:
        lines = [pattern.sub(same, line) for line in lines]
    return lines


@pytest.mark.limit(240)
def test_everything_is_as_the_page_shows(guest: vm.Guest) -> None:
    # A guest that has just booted says this between two steps.
    clock = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    eventually(lambda: guest.must(f"cat {clock}").strip() == "tsc", 10)
    guest.must("umount /sys/kernel/tracing 2>/dev/null; dmesg -c >/dev/null")
    wrong = []
    for step in steps(PAGE.read_text()):
        printed = guest.run(f"cd /modules; {step.command}").output.splitlines()
        if normal(printed) != normal(step.output):
            shown = "\n".join(printed)
            wrong.append(f"line {step.line}: `{step.command}` prints\n{shown}")
    assert not wrong, "\n\n".join(wrong)
