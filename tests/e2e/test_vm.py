# SPDX-License-Identifier: GPL-2.0
"""The virtual machine itself: it has to report the failures of a guest, not to share them."""

from __future__ import annotations

import re
import secrets
import shlex
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest

from ktcp import control, qemu, ui, vm, wires
from .lab import Lab, eventually

EVERY_VALUE = bytes(range(256))


def test_command_returns_its_status_and_output(guest: vm.Guest) -> None:
    outcome = guest.run("echo out; echo err >&2; exit 7")
    assert (outcome.status, outcome.output) == (7, "out\nerr\n")
    assert guest.run("true").raw == b""


def test_command_may_hold_anything(guest: vm.Guest) -> None:
    said = "".join(map(chr, range(1, 128))) + "é€ \\0101 \\c %b"
    assert guest.must(f"printf %s {shlex.quote(said)}") == said


def test_output_may_hold_anything(guest: vm.Guest) -> None:
    guest.push("/tmp/every value", EVERY_VALUE * 300)
    assert guest.pull("/tmp/every value") == EVERY_VALUE * 300
    assert guest.run("printf '.\\n0 0\\n.'").raw == b".\n0 0\n."
    guest.must("rm '/tmp/every value'")


def test_commands_run_at_the_same_time(guest: vm.Guest) -> None:
    started = time.monotonic()
    commands = [guest.start(f"sleep 2; echo {number}") for number in range(8)]
    outputs = [guest.finish(command).output for command in commands]
    assert outputs == [f"{number}\n" for number in range(8)]
    assert time.monotonic() - started < 10


def test_command_that_takes_too_long_is_killed(guest: vm.Guest) -> None:
    assert guest.run("sleep 60", timeout=1).status == control.KILLED
    with pytest.raises(ui.Fail, match="took more than 1 s"):
        guest.must("sleep 60", timeout=1)


def test_background_process_is_not_waited_for(guest: vm.Guest) -> None:
    started = time.monotonic()
    process = guest.must("sleep 60 & echo $!")
    assert time.monotonic() - started < 10
    guest.must(f"kill {process}")


def test_failed_command_says_why(guest: vm.Guest) -> None:
    with pytest.raises(ui.Fail, match="(?s)`cat /none` failed in the guest with status 1.*No such"):
        guest.must("cat /none")


def test_complaint_of_the_kernel_fails_the_block(lab: Lab) -> None:
    word = secrets.token_hex(4)
    with pytest.raises(ui.Fail, match=f"(?s)the guest's kernel complains.*{word}"):
        with lab.new_guest("complaint", wires.free_port()) as guest:
            guest.must(f"echo 'BUG: this is a test {word}' >/dev/kmsg")


def test_clock_of_the_guest_is_right(lab: Lab, guest: vm.Guest) -> None:
    if lab.accel != "tcg":
        pytest.skip("the guest was not told how fast it is")
    # Once it has the time, the kernel compares it with another clock, and says so if they agree.
    assert eventually(lambda: "tsc: Refined TSC clocksource calibration" in guest.console(), 30)


# A QEMU that is a script: what it does at so many starts, of which each leaves a line in a file. Later
# it answers the first command as a guest should, and ends at the next.
QEMU = """
import os, socket, sys

def answer():
    number = next(word for word in sys.argv if word.startswith("socket,id=control")).rpartition("=")[2]
    guest = socket.socket(fileno=int(number))
    guest.recv(100)
    guest.sendall(b"0 0 0\\n")
    guest.recv(100)

with open({count!r}, "a+") as file:
    print("started", file=file, flush=True)
    file.seek(0)
    starts = len(file.readlines())
if starts <= {times}:
    {fault}
else:
    answer()
"""
FAULTS = {
    "the guest ended while it started": "pass",
    "ended while it started; its console:\n    oh no": "print('oh no', flush=True); os.abort()",
    "complains:\n    BUG: oh no": "print('BUG: oh no', flush=True); answer()",
}
# A line for each start, where nothing but QEMU is to blame
ABORTED = re.compile(
    r"^note: starting the guest again: QEMU gave up \(see (.*-aborted\.log)\)$", re.M
)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("times", [vm.STARTS - 1, vm.STARTS])
def test_guest_that_boots_badly_is_started_again(
    lab: Lab,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    fault: str,
    times: int,
) -> None:
    program = tmp_path / "qemu"
    script = QEMU.format(count=str(tmp_path / "count"), times=times, fault=FAULTS[fault])
    program.write_text(f"#!{sys.executable}\n{script}")
    program.chmod(0o755)
    monkeypatch.setattr(qemu, "QEMU", str(program))
    with pytest.raises(ui.Fail, match=fault) if times == vm.STARTS else nullcontext():
        with vm.Guest(lab.kernel, accel="tcg", name="again"):
            pass
    said = capfd.readouterr().err
    if fault.startswith("complains"):
        assert said.count("warning: starting again: ") == said.count(fault) == vm.STARTS - 1
        return
    notes = ABORTED.findall(said)
    assert len(notes) == len(said.splitlines()) == vm.STARTS - 1
    assert ("oh no" in Path(notes[-1]).read_text()) == ("oh no" in fault)


def test_guest_that_crashes_fails_with_its_last_words(lab: Lab) -> None:
    # Twice: at the command that it was busy with, and at the end of the block.
    with pytest.raises(ui.Fail, match="(?s)the guest has ended.*sysrq triggered crash"):
        with lab.new_guest("crash", wires.free_port()) as guest:
            with pytest.raises(ui.Fail, match="(?s)the guest ended during.*sysrq triggered crash"):
                guest.must("echo c >/proc/sysrq-trigger; sleep 60", timeout=60)
