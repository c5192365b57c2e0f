# SPDX-License-Identifier: GPL-2.0
"""The guests of the end-to-end tests, for modules of others."""

from tests.e2e.conftest import lab

__all__ = ["lab"]
