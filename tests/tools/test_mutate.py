# SPDX-License-Identifier: GPL-2.0
"""The mutations fit the code as it is, and what they show is read right."""

from __future__ import annotations

import pytest

from ktcp import mutate, ui
from ktcp.module import CHECKOUT

OUTPUT = """\
[1/2] configure user-mode Linux … 1 s
[2/2] build user-mode Linux with the library and its suites … 26 s
[01:02:03] [\x1b[31mFAILED\x1b[0m] one_connection_too_many_is_reset
[01:02:03] [\x1b[31mFAILED\x1b[0m] ktcp_limits_event_loop
"""


@pytest.mark.parametrize("mutation", mutate.MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_mutation_fits_one_place(mutation: mutate.Mutation) -> None:
    text = (CHECKOUT / mutation.file).read_text()
    assert text.count(mutation.old) == 1


def test_the_test_that_fails_is_named() -> None:
    assert mutate.verdict(0, OUTPUT) == ""
    assert mutate.verdict(1, OUTPUT) == "one_connection_too_many_is_reset"
    built = OUTPUT.split("[01:")[0]
    assert "hung" in mutate.verdict(1, built)
    assert "complained" in mutate.verdict(1, f"{built}the kernel complained:\nBUG: …\n")


def test_a_mutation_that_does_not_build_is_an_error() -> None:
    with pytest.raises(ui.Fail, match="does not build"):
        mutate.verdict(1, OUTPUT.split("[01:")[0].replace("… 26 s", "… 26 s, failed"))
