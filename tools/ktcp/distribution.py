# SPDX-License-Identifier: GPL-2.0
"""The distribution's kernel: chosen, fetched, and made ready in the cache to build Rust modules for it."""

from __future__ import annotations

import argparse
import dataclasses
import os

from . import apt, cache, cli, image, index, kconfig, metadata, packages, ui
from .kernel import Kernel, Paths

# Part of every key: raise it when the directories made below change.
LAYOUT = "1"

# The source, the build directory and the packages, before they are unpacked and after
NEEDED_GIB = 4


def _make_packages(kernel: index.Candidate, paths: Paths, steps: ui.Steps) -> None:
    with steps.step(f"fetch the headers of {kernel.release}") as progress:
        packages.fetch_headers(kernel, paths.packages, progress)
    with steps.step("fetch its image and modules") as progress:
        packages.fetch_image(kernel, paths.packages, progress)


def _make_build(kernel: index.Candidate, paths: Paths, steps: ui.Steps) -> None:
    with steps.step("configure it as the distribution does") as progress:
        metadata.configure(kernel, paths, progress)
    with steps.step("build the Rust metadata and the tools of its build") as progress:
        metadata.prepare_modules(kernel, paths, progress)
    with steps.step("compare the Rust symbols with those of the image"):
        metadata.check_symbols(paths)


def _make_image(kernel: index.Candidate, paths: Paths, steps: ui.Steps) -> None:
    with steps.step("unpack its image"):
        packed = packages.find_image(paths.packages, kernel.release)
        has_pvh = kconfig.read(paths.packages / ".config").get("CONFIG_PVH") == "y"
        elf = image.unpacked(packed, paths.source / "linux") if has_pvh else None
        (paths.image / "vmlinux").write_bytes(elf or packed.read_bytes())


def _make_source(kernel: index.Candidate, paths: Paths, steps: ui.Steps) -> None:
    with steps.step("fetch and unpack its source") as progress:
        packages.fetch_source(kernel, paths.source, progress)


def _fill(kernel: index.Candidate) -> Kernel:
    paths = Paths.of(kernel.version, kernel.release)
    key = f"{LAYOUT} {kernel.version} {kernel.release}"
    parts = (
        (paths.packages, key, _make_packages, 2),
        (paths.source, f"{LAYOUT} {kernel.version}", _make_source, 1),
        (paths.image, key, _make_image, 1),
        (paths.build, key, _make_build, 3),
    )
    missing = sum(n for folder, part, _, n in parts if not cache.is_complete(folder, part))
    if missing:
        cache.check_disk(NEEDED_GIB)
    steps = ui.Steps(missing)
    for folder, part, make, _ in parts:
        with cache.once(folder, part) as needed:
            if needed:
                make(kernel, paths, steps)
    if missing:
        cache.prune()
    return Kernel(
        kernel.series,
        kernel.flavour,
        kernel.version,
        kernel.release,
        paths.source / "linux",
        paths.build,
        paths.image / "vmlinux",
        paths.packages / "usr/lib/modules" / kernel.release,
    )


# --- Choosing ---


def _prepared() -> list[index.Candidate]:
    """Returns the kernels that are ready in the cache: the choice without a network."""
    found = []
    for folder in (cache.root() / "kernels").glob("*_*"):
        release, version = folder.name.split("_", 1)
        match = index.RELEASE.fullmatch(release)
        key = f"{LAYOUT} {version} {release}"
        if match and cache.is_complete(Paths.of(version, release).build, key):
            found.append(index.Candidate(match["series"], match["flavour"], version, release, ()))
    return sorted(found, key=index.by_version)


def resolve() -> index.Candidate:
    """The kernel that KERNEL and FLAVOUR ask for, according to the index of this moment."""
    wanted = os.environ.get("KERNEL") or None
    flavour = os.environ.get("FLAVOUR") or None
    running = os.uname().release
    try:
        kernels = index.candidates(apt.versions())
    except apt.NoIndex as failure:
        kernels = _prepared()
        if not kernels:
            raise
        ui.note(f"{failure.message}: choosing among the kernels that are in the cache")
    return index.choose(kernels, wanted, flavour, running)


def prepare() -> Kernel:
    """Resolves the kernel and makes its missing parts."""
    kernel = resolve()
    index.warn_if_untested(kernel)
    return _fill(kernel)


# --- The command line ---


def _prepare_command(_arguments: argparse.Namespace) -> int:
    prepared = prepare()
    for field in dataclasses.fields(prepared):
        print(f"{field.name:8} {getattr(prepared, field.name)}")
    return 0


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser("prepare", help="make a kernel ready, and say where it is")
    command.set_defaults(call=_prepare_command)
