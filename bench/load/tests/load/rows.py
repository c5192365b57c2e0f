# SPDX-License-Identifier: GPL-2.0
"""Writes the rows of a CSV file as JSON; fails if one has more or fewer fields than there are names."""

import csv
import json
import sys

with open(sys.argv[1], newline="", encoding="utf-8") as file:
    # A field without a name is filed under `restkey`, a name without a field gets `restval`.
    rows = list(csv.DictReader(file, restkey="", restval=None, strict=True))
for row in rows:
    if "" in row or None in row.values():
        sys.exit(f"fields and names do not go together: {row}")
json.dump(rows, sys.stdout)
