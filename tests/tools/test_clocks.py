# SPDX-License-Identifier: GPL-2.0
"""Time that passes is measured by clocks that cannot be set."""

from __future__ import annotations

import re
import subprocess

from ktcp.module import CHECKOUT

# What reads the clock that tells the date
READS = re.compile(
    r"\btime\.(time|time_ns|gmtime|localtime)\(|\b(datetime|date)\.(now|today|utcnow)\(|\bSystemTime\b"
    r"|\bTimestamp::now\(|\bRealTime\b|ktime_get_(\w+_)?real|\bCLOCK_REALTIME|\bgettimeofday\("
    r"|\btime\(NULL|\bEPOCH(SECONDS|REALTIME)\b|\bdate \+"
)

# Where dates are shown, or compared with dates
DATES = {
    "examples/khttpd/site.rs": "the Date: of responses, and how long ago a file was changed",
    "kunit/files.rs": "when a file was changed",
    "lib/fs.rs": "the date, for modules",
    "lib/shim/fs.c": "the same",
    "tests/e2e/test_clock.py": "sets the clock",
    "tests/e2e/test_http_validators.py": "the Date: of responses",
    "tools/ktcp/apt.py": "how old a file is",
    "tools/ktcp/cache.py": "how old a file is",
    "tools/ktcp/disturbances.py": "sets the clock",
    "tools/ktcp/lab/plots.py": "when it was measured",
    "tools/ktcp/lab/results.py": "when it was measured",
    "tools/ktcp/soak.py": "a seed that is not that of the last soak",
}


def test_only_dates_are_read_from_the_clock_that_can_be_set() -> None:
    git = [
        "git",
        "-c",
        f"safe.directory={CHECKOUT}",
        "ls-files",
        "-z",
        "*.rs",
        "*.py",
        "*.c",
        "*.h",
    ]
    git += ["*.sh", "Makefile", "Kbuild", "tools/*"]
    listing = subprocess.run(git, cwd=CHECKOUT, check=True, capture_output=True, text=True).stdout
    files = [name for name in listing.split("\0") if name and (CHECKOUT / name).is_file()]
    found = {name for name in files if READS.search((CHECKOUT / name).read_text(errors="replace"))}
    assert found - {"tests/tools/test_clocks.py"} == set(DATES)
