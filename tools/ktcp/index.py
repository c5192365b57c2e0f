# SPDX-License-Identifier: GPL-2.0
"""The choice of a kernel from the package index.

The archive keeps only the newest version of a package, and drops a series after a while. So
versions are looked up in the index when they are needed, and never written down.
"""

from __future__ import annotations

import functools
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from . import ui

# The series that this project is tested with, the preferred one first.
KNOWN_SERIES = ("7.3", "7.2")
FLAVOURS = ("cloud-amd64", "amd64", "rt-amd64")
DEFAULT_FLAVOUR = FLAVOURS[0]
# Releases that an error names
SHOWN = 6

# `7.3.4+deb13-cloud-amd64`, or `6.12.115+deb13.1-amd64`
RELEASE = re.compile(
    r"(?P<upstream>(?P<series>\d+\.\d+)(?:\.\d+)?)(?P<local>[+~-].*?)-(?P<flavour>"
    + "|".join(FLAVOURS)
    + ")"
)


@dataclass(frozen=True)
class Candidate:
    """A kernel that the index has everything for: image, modules, headers and the same source."""

    series: str
    flavour: str
    version: str
    release: str
    image_packages: tuple[str, ...]

    @property
    def source_package(self) -> str:
        return f"linux-source-{self.series}"

    @property
    def headers_package(self) -> str:
        return f"linux-headers-{self.release}"

    @property
    def localversion(self) -> str:
        match = RELEASE.fullmatch(self.release)
        assert match is not None
        return self.release.removeprefix(match["upstream"])


def parse_madison(text: str) -> dict[str, set[str]]:
    """The versions of each package, from the output of `apt-cache madison`."""
    versions: dict[str, set[str]] = defaultdict(set)
    for line in text.splitlines():
        fields = [field.strip() for field in line.split("|")]
        if len(fields) == 3 and fields[2].endswith("Packages"):
            versions[fields[0]].add(fields[1])
    return versions


def _image_packages(index: dict[str, set[str]], release: str, version: str) -> tuple[str, ...]:
    """The packages that hold the kernel image and its modules, or none."""

    def has(name: str) -> bool:
        return version in index.get(name, set())

    modules = f"linux-modules-{release}"
    # The lists of built-in modules, which modprobe needs
    base = tuple(name for name in (f"linux-base-{release}",) if has(name))
    # The signed image comes from a source package of its own, and some hours later.
    binaries = [f"linux-binary-{release}", f"linux-binary-unsigned-{release}"]
    for binary in filter(has, binaries):
        return (binary, modules, *base) if has(modules) else ()
    # Older kernels have image and modules in one package; newer ones a package of that name which
    # is empty.
    image = f"linux-image-{release}"
    return (image,) if has(image) else ()


def candidates(index: dict[str, set[str]]) -> list[Candidate]:
    found = []
    for package, versions in index.items():
        match = RELEASE.fullmatch(package.removeprefix("linux-headers-"))
        if match is None or not package.startswith("linux-headers-"):
            continue
        for version in versions & index.get(f"linux-source-{match['series']}", set()):
            images = _image_packages(index, match[0], version)
            if images:
                found.append(
                    Candidate(match["series"], match["flavour"], version, match[0], images)
                )
    return sorted(found, key=by_version)


# By dpkg, for python3-apt would be there for little else: see apt.py.
def _compare(left: Candidate, right: Candidate) -> int:
    def holds(relation: str) -> bool:
        command = ["dpkg", "--compare-versions", left.version, relation, right.version]
        return subprocess.run(command, check=False).returncode == 0

    return -1 if holds("lt") else 1 if holds("gt") else 0


by_version = functools.cmp_to_key(_compare)


def series_number(series: str) -> tuple[int, ...]:
    return tuple(int(part) for part in series.split("."))


def _list(items: Iterable[str]) -> str:
    return ", ".join(items) or "nothing"


def _all_series(kernels: Iterable[Candidate]) -> list[str]:
    return sorted({kernel.series for kernel in kernels}, key=series_number, reverse=True)


def _unknown_release(kernels: list[Candidate], release: str, wanted: str) -> ui.Fail:
    newest = [kernel.release for kernel in reversed(kernels)][:SHOWN]
    if wanted == "running":
        return ui.Fail(
            f"the running kernel {release} is not in the package index of Debian, which keeps the "
            "newest kernels only",
            "upgrade it from backports and start it; for a kernel of your own, give its build tree "
            "with KDIR=",
        )
    return ui.Fail(
        f"the kernel {release} is not in the package index of Debian, which keeps the newest "
        "kernels only",
        f"give KERNEL= a series, or a release such as: {_list(newest)}",
    )


def _default_series(series: list[str]) -> str:
    for known in KNOWN_SERIES:
        if known in series:
            return known
    if not series:
        raise ui.Fail(
            "the package index has no kernel with its source",
            "`make update`; if that does not help, name another mirror with KTCP_MIRROR= after "
            "`make clean-cache`",
        )
    return series[0]


def choose(
    kernels: list[Candidate], wanted: str | None, flavour: str | None, running: str
) -> Candidate:
    """The kernel to take among `kernels`, which are sorted.

    `wanted` is what the user gave as KERNEL: a series, a full release, `running`, or nothing;
    `running` is the release of the kernel that runs here. Raises `Fail` with what there is.
    """
    if wanted == "running" or (wanted and RELEASE.fullmatch(wanted)):
        release = running if wanted == "running" else wanted
        matching = [kernel for kernel in kernels if kernel.release == release]
        if not matching:
            raise _unknown_release(kernels, release, wanted)
        return matching[-1]

    flavour = flavour or DEFAULT_FLAVOUR
    if flavour not in FLAVOURS:
        raise ui.Fail(
            f"there is no kernel flavour `{flavour}`", f"give FLAVOUR= one of: {_list(FLAVOURS)}"
        )
    of_flavour = [kernel for kernel in kernels if kernel.flavour == flavour]
    available = _all_series(of_flavour)
    series = wanted or _default_series(available)
    if series not in available:
        raise ui.Fail(
            f"there is no kernel series `{series}` with flavour {flavour} in the package index",
            f"give KERNEL= one of: {_list(available)}, or `running`",
        )
    return [kernel for kernel in of_flavour if kernel.series == series][-1]


def warn_if_untested(kernel: Candidate) -> None:
    if series_number(kernel.series) > series_number(KNOWN_SERIES[0]):
        ui.warn(
            f"Linux {kernel.series} is newer than what this is tested with "
            f"({_list(KNOWN_SERIES)}): the Rust interfaces of the kernel may have changed"
        )
