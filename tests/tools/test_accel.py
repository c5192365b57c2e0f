# SPDX-License-Identifier: GPL-2.0

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ktcp import accel, initramfs, qemu, ui
from ktcp.kernel import Kernel

NOWHERE = Path("/nonexistent")
KERNEL = Kernel("7.3", "x", "1", "7.3.4", NOWHERE, NOWHERE, NOWHERE, NOWHERE)


class Probe:
    """Stands for the trial boot."""

    def __init__(self, complaint: str) -> None:
        self.complaint = complaint
        self.count = 0

    def __call__(self, kernel: Kernel) -> str:
        self.count += 1
        return self.complaint


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a /dev/kvm and an empty cache."""
    monkeypatch.setenv("KTCP_CACHE", str(tmp_path))
    monkeypatch.delenv("ACCEL", raising=False)
    monkeypatch.setattr(accel, "DEVICE", tmp_path)


def probe(monkeypatch: pytest.MonkeyPatch, complaint: str) -> Probe:
    stand_in = Probe(complaint)
    monkeypatch.setattr(accel, "_probe", stand_in)
    return stand_in


def test_kvm_that_works_is_tried_once_and_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    boot = probe(monkeypatch, "")
    assert [accel.choose(KERNEL) for _ in range(3)] == ["kvm"] * 3
    assert boot.count == 1


def test_kvm_that_fails_is_tried_once_and_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    boot = probe(monkeypatch, "it only seems to")
    assert [accel.choose(KERNEL) for _ in range(3)] == ["tcg"] * 3
    assert boot.count == 1
    monkeypatch.setenv("ACCEL", "kvm")
    with pytest.raises(ui.Fail, match="KVM does not work on this machine: it only seems to"):
        accel.choose(KERNEL)


def test_tcg_is_chosen_without_a_trial_where_there_is_no_kvm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    boot = probe(monkeypatch, "")
    monkeypatch.setattr(accel, "DEVICE", NOWHERE)
    assert accel.choose(KERNEL) == "tcg"
    assert boot.count == 0


def test_wish_for_tcg_is_granted_without_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    boot = probe(monkeypatch, "")
    monkeypatch.setenv("ACCEL", "tcg")
    assert accel.choose(KERNEL) == "tcg"
    assert boot.count == 0


def test_unknown_wish_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCEL", "hvf")
    with pytest.raises(ui.Fail, match="ACCEL=hvf is not known"):
        accel.choose(KERNEL)


def test_verdict_holds_until_the_machine_starts_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    boot = probe(monkeypatch, "")
    accel.choose(KERNEL)
    boot_id = tmp_path / "boot_id"
    boot_id.write_text("another\n")
    monkeypatch.setattr(accel, "BOOT_ID", boot_id)
    accel.choose(KERNEL)
    assert boot.count == 2


def test_each_kernel_has_a_verdict_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    boot = probe(monkeypatch, "")
    other = dataclasses.replace(KERNEL, release="7.2.1")
    assert [accel.choose(kernel) for kernel in (KERNEL, other, KERNEL, other)] == ["kvm"] * 4
    assert boot.count == 2


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"machine": 1}'])
def test_damaged_record_is_made_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    boot = probe(monkeypatch, "")
    (tmp_path / "kvm-probe.json").write_text(content)
    assert accel.choose(KERNEL) == "kvm"
    assert boot.count == 1


# What QEMU does instead of running a guest
FAILING_QEMUS = {
    "assertion": "echo \"kvm_buf_set_msrs: Assertion 'ret == cpu->kvm_msr_buf->nmsrs' failed.\"; kill -ABRT $$",
    "no module of the kernel": "echo 'failed to initialize kvm: No such device'; exit 1",
    "internal error": "echo 'KVM internal error. Suberror: 1'; sleep 60",
    "silence": "exec sleep 60",
}


@pytest.mark.parametrize("script", FAILING_QEMUS.values(), ids=FAILING_QEMUS)
def test_a_trial_that_fails_says_one_line(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    script: str,
) -> None:
    program = tmp_path / "qemu"
    program.write_text(f"#!/bin/sh\necho started >>{tmp_path}/starts\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr(qemu, "QEMU", str(program))
    monkeypatch.setattr(initramfs, "build", lambda *_: b"")
    monkeypatch.setattr(accel, "PROBE_SECONDS", 2.0)
    assert accel.choose(KERNEL) == "tcg"
    said = capfd.readouterr()
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert line.startswith("note: trying once whether this machine has KVM")
    assert (tmp_path / "starts").read_text() == "started\n"
    # Nor is there another trial.
    assert accel.choose(KERNEL) == "tcg"
    assert capfd.readouterr().err == ""
    assert (tmp_path / "starts").read_text() == "started\n"
