# SPDX-License-Identifier: GPL-2.0
"""Which kernel is chosen, on a package index that was recorded."""

from __future__ import annotations

from pathlib import Path

import pytest

from ktcp import index, ui

RECORDED = (Path(__file__).parent / "madison.txt").read_text()
RUNNING = "7.2.11+deb13-cloud-amd64"


def _kernels(without: str = "never") -> list[index.Candidate]:
    lines = [line for line in RECORDED.splitlines() if without not in line]
    return index.candidates(index.parse_madison("\n".join(lines)))


def _choose(
    wanted: str | None = None,
    flavour: str | None = None,
    without: str = "never",
    running: str = RUNNING,
) -> index.Candidate:
    return index.choose(_kernels(without), wanted, flavour, running)


def test_the_preferred_series_is_taken_by_default() -> None:
    kernel = _choose()
    assert kernel.release == "7.3.4+deb13-cloud-amd64"
    assert kernel.version == "7.3.4-1~bpo13+1"
    assert kernel.source_package == "linux-source-7.3"
    assert kernel.image_packages == (
        "linux-binary-7.3.4+deb13-cloud-amd64",
        "linux-modules-7.3.4+deb13-cloud-amd64",
        "linux-base-7.3.4+deb13-cloud-amd64",
    )


def test_the_next_known_series_is_taken_in_its_newest_version() -> None:
    assert _choose(without="7.3.4").version == "7.2.12-1~bpo13+1"


def test_versions_are_compared_as_numbers() -> None:
    # "7.2.9" is greater than "7.2.12" only as a text.
    older = RECORDED.replace("7.2.11", "7.2.9")
    kernels = index.candidates(index.parse_madison(older))
    assert index.choose(kernels, "7.2", None, "").version == "7.2.12-1~bpo13+1"


def test_source_of_the_same_version_is_needed() -> None:
    source = "linux-source-7.2 | 7.2.12"
    assert _choose("7.2", without=source).version == "7.2.11-1~bpo13+1"


def test_the_unsigned_image_is_taken_while_there_is_no_signed_one() -> None:
    kernel = _choose(without="linux-binary-7.3.4")
    assert kernel.image_packages[0] == "linux-binary-unsigned-7.3.4+deb13-cloud-amd64"


def test_a_kernel_without_its_modules_is_passed_over() -> None:
    assert _choose(without="linux-modules-7.3.4").series == "7.2"


def test_the_flavour_that_was_asked_for_is_taken() -> None:
    assert _choose(flavour="rt-amd64").release == "7.3.4+deb13-rt-amd64"


def test_the_running_kernel_and_a_full_release_are_found() -> None:
    assert _choose("running").release == RUNNING
    assert _choose("7.2.12+deb13-rt-amd64").flavour == "rt-amd64"


def test_an_older_series_is_taken_with_image_and_modules_in_one_package() -> None:
    kernel = _choose("6.12")
    assert kernel.version == "6.12.117-1"
    assert kernel.image_packages == ("linux-image-6.12.117+deb13-cloud-amd64",)


def test_localversion_is_what_follows_the_version() -> None:
    assert _choose().localversion == "+deb13-cloud-amd64"


def _newer() -> list[index.Candidate]:
    text = RECORDED.replace("7.3.4", "7.4.1").replace("linux-source-7.3", "linux-source-7.4")
    return index.candidates(index.parse_madison(text))


def test_a_newer_series_is_taken_only_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert index.choose(_newer(), None, None, "").series == "7.2"
    asked = index.choose(_newer(), "7.4", None, "")
    assert asked.release == "7.4.1+deb13-cloud-amd64"
    index.warn_if_untested(asked)
    assert "7.4 is newer than what this is tested with" in capsys.readouterr().err
    index.warn_if_untested(_choose())
    assert capsys.readouterr().err == ""


def test_a_newer_series_is_taken_when_no_known_one_is_left() -> None:
    kernels = [kernel for kernel in _newer() if kernel.series != "7.2"]
    assert index.choose(kernels, None, None, "").series == "7.4"


@pytest.mark.parametrize(
    ("wanted", "flavour", "running", "message", "hint"),
    [
        ("9.9", None, "", "no kernel series `9.9`", "7.3, 7.2, 6.12"),
        ("nonsense", None, "", "no kernel series `nonsense`", "7.3, 7.2, 6.12"),
        (None, "arm64", "", "no kernel flavour `arm64`", "cloud-amd64, amd64, rt-amd64"),
        (None, "amd64", "", "no kernel with its source", "make update"),
        ("7.3", "amd64", "", "no kernel series `7.3` with flavour amd64", "one of: nothing"),
        ("running", None, "6.1.0-13-amd64", "the running kernel 6.1.0-13-amd64", "KDIR="),
        ("running", None, "7.0-mine", "the running kernel 7.0-mine", "from backports"),
        ("7.3.3+deb13-cloud-amd64", None, "", "the kernel 7.3.3+deb13-cloud-amd64", "7.3.4+deb13"),
    ],
)
def test_what_cannot_be_had_is_said(
    wanted: str | None, flavour: str | None, running: str, message: str, hint: str
) -> None:
    with pytest.raises(ui.Fail) as failure:
        _choose(wanted, flavour, running=running)
    assert message in failure.value.message
    assert hint in failure.value.hint
