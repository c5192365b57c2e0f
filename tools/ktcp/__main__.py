# SPDX-License-Identifier: GPL-2.0
"""`python3 -m ktcp COMMAND`, as the Makefile calls it."""

import sys

from . import cli

sys.exit(cli.main(sys.argv[1:]))
