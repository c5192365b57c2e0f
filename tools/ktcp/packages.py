# SPDX-License-Identifier: GPL-2.0
"""The contents of the packages of the distribution's kernel."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from . import apt, cache, kconfig, ui
from .index import KNOWN_SERIES, Candidate


def fetch_headers(kernel: Candidate, into: Path, progress: ui.Progress) -> None:
    """Fetches the configuration and the list of symbols; raises `Fail` for a kernel without Rust."""
    headers = into / "headers"
    apt.unpack([kernel.headers_package], kernel.version, headers, progress)
    files = headers / "usr/src" / kernel.headers_package
    for name in (".config", "Module.symvers"):
        shutil.copyfile(files / name, into / name)
    shutil.rmtree(headers)
    if kconfig.read(into / ".config").get("CONFIG_RUST") != "y":
        raise ui.Fail(
            f"the kernel {kernel.release} is built without Rust (no CONFIG_RUST=y), so it cannot "
            "load Rust modules",
            f"give KERNEL= a series that has it, such as {KNOWN_SERIES[0]}",
        )


def fetch_image(kernel: Candidate, into: Path, progress: ui.Progress) -> None:
    """Fetches the image and the modules."""
    apt.unpack(list(kernel.image_packages), kernel.version, into, progress)
    if not (into / "lib").exists():
        (into / "lib").symlink_to("usr/lib")
    subprocess.run(["depmod", "-b", str(into), kernel.release], check=True)


def find_image(packages: Path, release: str) -> Path:
    """The one image among the files of the packages."""
    folder = packages / "usr/lib/modules" / release
    images = [*folder.glob("vmlinuz*"), *(packages / "boot").glob("vmlinuz*")]
    if len(images) != 1:
        raise ui.Fail(
            f"the packages of the kernel {release} hold {len(images)} images instead of one",
            "choose another kernel with KERNEL=",
        )
    return images[0]


def fetch_source(kernel: Candidate, into: Path, progress: ui.Progress) -> None:
    """Fetches the source, and unpacks it into a folder `linux`."""
    package = into / "package"
    apt.unpack([kernel.source_package], kernel.version, package, progress)
    tarballs = list((package / "usr/src").glob("linux-source-*.tar.*"))
    assert len(tarballs) == 1, tarballs
    (into / "linux").mkdir()
    ui.run_logged(
        ["tar", "-xvf", str(tarballs[0]), "-C", str(into / "linux"), "--strip-components=1"],
        cache.log("source"),
        progress,
        env={"XZ_DEFAULTS": "-T0"},
        unit="files",
    )
    shutil.rmtree(package)
