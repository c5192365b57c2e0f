# SPDX-License-Identifier: GPL-2.0
"""Completes the kernel's `rust-project.json` with the crates of this checkout.

The kernel's generator looks for a crate next to the Makefile that names it and knows no crate that
depends on another one of the same module tree. It also gives the paths as the build root sees
them, where an editor is not.

Run as `python3 -m ktcp.analyzer FILE`; no other module of this package is needed.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
LIBRARY = "ktcp_server"
# The arguments that `scripts/Makefile.build` gives to every crate outside of `rust/`
GIVEN = ("core", "kernel", "pin_init", "zerocopy", "zerocopy_derive")

Crate = dict[str, Any]


def crate_roots(kbuild: str) -> list[Path]:
    """The root files of the crates that the Kbuild file names, the library first."""
    objects = set(re.findall(r"[\w/]+(?=\.o\b)", kbuild))
    roots = [CHECKOUT / f"{name}.rs" for name in objects]
    return sorted(
        (root for root in roots if root.exists()), key=lambda root: (root.stem != LIBRARY, root)
    )


def complete(project: dict[str, Any], roots: list[Path], built: Path) -> None:
    """Adds the crates with these root files, which are built in the folder `built`."""
    crates: list[Crate] = project["crates"]
    number = {crate["display_name"]: index for index, crate in enumerate(crates)}
    kernel = crates[number["kernel"]]
    for root in roots:
        given = [*GIVEN, LIBRARY] if root.stem != LIBRARY else list(GIVEN)
        number[root.stem] = len(crates)
        crates.append(
            {
                "display_name": root.stem,
                "root_module": str(root),
                "is_workspace_member": True,
                "deps": [{"crate": number[name], "name": name} for name in given],
                "cfg": kernel["cfg"],
                "edition": kernel["edition"],
                "env": {
                    "RUST_MODFILE": "This is only for rust-analyzer",
                    "KTCP_GENERATED": str(built / "lib/shim"),
                    "KTCP_MEDIA_TYPES": str(built / "examples/khttpd/media_types.txt"),
                },
            }
        )


def seen_from_outside(value: Any, root: str) -> Any:
    """`value` with the paths of the build root's own files below `root`."""
    if isinstance(value, dict):
        return {key: seen_from_outside(item, root) for key, item in value.items()}
    if isinstance(value, list):
        return [seen_from_outside(item, root) for item in value]
    if isinstance(value, str) and (value == "/usr" or value.startswith("/usr/")):
        return root + value
    return value


def main(file: Path) -> None:
    project: dict[str, Any] = json.loads(file.read_text())
    key, cache = os.environ.get("KTCP_BUILDROOT"), os.environ.get("KTCP_CACHE")
    if key and cache:
        project = seen_from_outside(project, f"{cache}/roots/{key}")
    roots = crate_roots((CHECKOUT / "Kbuild").read_text())
    complete(project, roots, file.resolve().parent)
    (CHECKOUT / "rust-project.json").write_text(json.dumps(project, indent=4) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
