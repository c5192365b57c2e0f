# SPDX-License-Identifier: GPL-2.0
"""Growth from one quiet phase to the next: a slope with its uncertainty, and what counts as growth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

# A slope and its error take two values; a third says how far they are from a line.
LEAST = 3

# The quantiles 97.5 % of Student's t, for 1, 2, … degrees of freedom
# (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2)
STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


@dataclass(frozen=True)
class Trend:
    """The line of least squares through values at equal distances."""

    # For each step
    slope: float
    # Half of the slope's confidence interval of 95 %
    margin: float

    def grew(self, threshold: float) -> bool:
        """Returns true if the interval is above 0, and the slope above the threshold."""
        return self.slope - self.margin > 0 and self.slope > threshold


def student(freedom: int) -> float:
    """The quantile 97.5 % of Student's t; beyond the table that of its last row, which is larger."""
    return STUDENT[min(freedom, len(STUDENT)) - 1]


def trend(values: Sequence[float]) -> Trend | None:
    """The trend of the values, or nothing if there are too few of them."""
    count = len(values)
    if count < LEAST:
        return None
    middle, mean = (count - 1) / 2, math.fsum(values) / count
    spread = math.fsum((x - middle) ** 2 for x in range(count))
    slope = math.fsum((x - middle) * (y - mean) for x, y in enumerate(values)) / spread
    rests = math.fsum((y - mean - slope * (x - middle)) ** 2 for x, y in enumerate(values))
    error = math.sqrt(rests / (count - 2) / spread)
    return Trend(slope, student(count - 2) * error)


def counted(output: str) -> dict[str, int]:
    """Adds up the lines `KEY VALUE` of one program, or of several in turn."""
    sums: dict[str, int] = {}
    for line in output.splitlines():
        words = line.split()
        if len(words) == 2 and words[1].isdecimal():
            sums[words[0]] = sums.get(words[0], 0) + int(words[1])
    return sums
