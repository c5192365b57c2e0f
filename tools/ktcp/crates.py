# SPDX-License-Identifier: GPL-2.0
"""Published crates, which cargo fetches: for the modules, and for tools of our own.

A folder with a Cargo.toml and a Cargo.lock names them. They are fetched once, with their checksums
verified, and then lie in the cache, so that nothing needs the network any more.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

from . import cache, ui

# The crates that Kbuild compiles
MODULES = Path(__file__).resolve().parents[2] / "examples/khttpd"

CONFIG = """\
[source.crates-io]
replace-with = "vendored-sources"

[source.vendored-sources]
directory = "{vendored}"
"""


def _vendor(folder: Path, into: Path) -> None:
    command = ["cargo", "vendor", "--locked", "--versioned-dirs", "--quiet"]
    manifest = folder / "Cargo.toml"
    with ui.Progress(f"fetch the crates of {manifest.parent.name}") as progress:
        try:
            ui.run_logged(
                [*command, f"--manifest-path={manifest}", str(into / "vendor")],
                cache.log("crates"),
                progress,
            )
        except ui.Fail as failure:
            raise ui.Fail(
                f"cargo cannot fetch the crates of {manifest}",
                "check the network, and what ~/.cargo/config.toml of this machine says of a "
                f"mirror (log: {cache.log('crates')})",
            ) from failure


def fetch(folder: Path = MODULES) -> Path:
    """The folder that holds the crates of `folder`'s Cargo.lock, each in `NAME-VERSION`."""
    key = hashlib.sha256((folder / "Cargo.lock").read_bytes()).hexdigest()[:16]
    into = cache.root() / "crates" / key
    with cache.once(into, key) as needed:
        if needed:
            _vendor(folder, into)
            (into / "config.toml").write_text(CONFIG.format(vendored=into / "vendor"))
    return into / "vendor"


def cargo(folder: Path, *arguments: str, **environment: str) -> int:
    """Runs cargo in `folder`, with nothing but fetched crates; its exit status."""
    config = fetch(folder).parent / "config.toml"
    target = cache.root() / "target" / folder.name
    return subprocess.run(
        ["cargo", *arguments, "--locked", "--offline", f"--config={config}"],
        cwd=folder,
        env={**os.environ, "CARGO_TARGET_DIR": str(target), **environment},
        check=False,
    ).returncode
