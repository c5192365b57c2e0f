# SPDX-License-Identifier: GPL-2.0
"""The distribution's kernel, and the means to build Rust modules for it.

Debian's headers packages have no Rust metadata. They are made again here, from the source and the
configuration of the very same version, with the compilers that the kernel was built with. Whether they
are the same is seen from the names of the Rust symbols, which hold a hash of compiler and crate.
"""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import functools
import hashlib
import os
import re
import shutil
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from . import apt, cache, cli, index, ui

# Part of every key: raise it when what is made below changes.
LAYOUT = "1"

# The source, the build directory and the packages, before they are unpacked and after
NEEDED_GIB = 4

# What has a kernel built sooner, and the same. To look for what it warns of is a tenth of the time that
# clang takes, and of the distribution's source it is not for us.
QUICK = ("KCFLAGS=-w",)
# Here is a `rustc` that does not optimise where it is not worth it.
QUICK_TOOLS = Path(__file__).resolve().parents[1] / "quick"

# How images are packed: the first bytes, and the program that unpacks them
PACKERS = {b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\0": "xz"}

RUST_EXPORT = re.compile(r"EXPORT_SYMBOL_RUST_GPL\((_R\w+)\)")


@dataclass(frozen=True)
class Kernel:
    """A kernel that is ready to build modules for, and to boot."""

    series: str
    flavour: str
    version: str
    release: str
    # Pristine: everything is built out of it, with O=.
    source: Path
    build: Path
    # What is booted: the kernel itself if it can be entered without the firmware's ways (CONFIG_PVH).
    # To unpack an image takes more than a second where the processor is emulated.
    image: Path
    # `/lib/modules/<release>` of this kernel
    modules: Path
    # What chooses its compilers; by default, those of the distribution.
    toolchain: tuple[str, ...] = ()

    def make(self, *arguments: str) -> list[str]:
        """The command that runs the kernel's build system in the build directory."""
        toolchain = self.toolchain or _toolchain(self.build, self.release)
        return run_make(self.build, *toolchain, *arguments)

    def has(self, option: str) -> bool:
        """Whether the option is built in."""
        return _config(self.build / ".config").get(option) == "y"


@dataclass(frozen=True)
class _Paths:
    """Where the parts of a kernel lie in the cache."""

    source: Path
    packages: Path
    build: Path
    image: Path

    @staticmethod
    def of(version: str, release: str) -> _Paths:
        folder = cache.root() / "kernels" / f"{release}_{version}"
        # Checkouts whose build roots have different compilers must not undo each other's work.
        build = f"build-{compilers()}"
        source = cache.root() / "sources" / version
        return _Paths(source, folder / "packages", folder / build, folder / "image")


def _config(config: Path) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in config.read_text().splitlines() if "=" in line)
    return {name: value.strip('"') for name, value in pairs if name.startswith("CONFIG_")}


def _compiler(config: dict[str, str]) -> str:
    """The C compiler that the kernel was built with, by the name that its configuration gives."""
    name = config.get("CONFIG_CC_VERSION_TEXT", "gcc").split()[0]
    if shutil.which(name) is None:
        raise ui.Fail(
            f"this kernel was built with `{name}`, which the build root does not have",
            "choose another kernel with KERNEL=, or add that compiler to tools/buildroot",
        )
    return name


@functools.cache
def compilers() -> str:
    """A name for the versions of all that makes code for a kernel in this build root."""
    versions = ""
    for name in ("gcc", "clang", "ld", "ld.lld", "rustc", "bindgen", "pahole"):
        versions += subprocess.run(
            [name, "--version"], stdout=subprocess.PIPE, check=False, text=True
        ).stdout
    return hashlib.sha256(versions.encode()).hexdigest()[:8]


def run_make(build: Path, *arguments: str) -> list[str]:
    """The command that runs the kernel's build system in a folder."""
    jobs = f"-j{os.cpu_count()}"
    return ["make", "--no-print-directory", jobs, "-C", str(build), "ARCH=x86", *arguments]


def _toolchain(build: Path, release: str) -> tuple[str, ...]:
    match = index.RELEASE.fullmatch(release)
    assert match is not None
    return (
        f"CC={_compiler(_config(build / '.config'))}",
        f"LOCALVERSION={release.removeprefix(match['upstream'])}",
    )


def _make(build: Path, release: str, *arguments: str) -> list[str]:
    return run_make(build, *_toolchain(build, release), *arguments)


# --- The parts, each made once ---


def _fetch_headers(kernel: index.Candidate, into: Path, progress: ui.Progress) -> None:
    headers = into / "headers"
    apt.unpack([kernel.headers_package], kernel.version, headers, progress)
    files = headers / "usr/src" / kernel.headers_package
    for name in (".config", "Module.symvers"):
        shutil.copyfile(files / name, into / name)
    shutil.rmtree(headers)
    if _config(into / ".config").get("CONFIG_RUST") != "y":
        raise ui.Fail(
            f"the kernel {kernel.release} is built without Rust (no CONFIG_RUST=y), so it cannot "
            "load Rust modules",
            f"give KERNEL= a series that has it, such as {index.KNOWN_SERIES[0]}",
        )


def _fetch_image(kernel: index.Candidate, into: Path, progress: ui.Progress) -> None:
    apt.unpack(list(kernel.image_packages), kernel.version, into, progress)
    if not (into / "lib").exists():
        (into / "lib").symlink_to("usr/lib")
    subprocess.run(["depmod", "-b", str(into), kernel.release], check=True)


def _find_image(packages: Path, release: str) -> Path:
    folder = packages / "usr/lib/modules" / release
    images = [*folder.glob("vmlinuz*"), *(packages / "boot").glob("vmlinuz*")]
    if len(images) != 1:
        raise ui.Fail(
            f"the packages of the kernel {release} hold {len(images)} images instead of one",
            "choose another kernel with KERNEL=",
        )
    return images[0]


def unpacked(image: bytes) -> bytes | None:
    """The ELF file in an image that unpacks itself, as Documentation/arch/x86/boot.rst describes it;
    None if it is packed in a way that is not known here."""
    setup_sectors = image[0x1F1]
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    packed = image[start : start + length]
    for magic, program in PACKERS.items():
        if packed.startswith(magic):
            # Behind it the kernel's build writes the size of what comes out.
            command, packed = [program, "--decompress", "--stdout"], packed[:-4]
            return subprocess.run(command, input=packed, check=True, capture_output=True).stdout
    return None


def _fetch_source(kernel: index.Candidate, into: Path, progress: ui.Progress) -> None:
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


def compare_configs(theirs: str, ours: str) -> str:
    """The lines in which two configurations differ, or nothing if they mean the same.

    The revision of the C compiler's package stands in the configuration as well. It differs
    after each security update of the compiler, and changes nothing else.
    """

    def lines(text: str) -> list[str]:
        return [
            line
            for line in text.splitlines()
            if line and not line.startswith(("# Linux/", "CONFIG_CC_VERSION_TEXT"))
        ]

    difference = difflib.unified_diff(lines(theirs), lines(ours), n=0, lineterm="")
    return "\n".join(line for line in list(difference)[2:] if not line.startswith("@@"))


def _configure(kernel: index.Candidate, paths: _Paths, progress: ui.Progress) -> None:
    config = paths.build / ".config"
    shutil.copyfile(paths.packages / ".config", config)
    theirs = config.read_text()
    # The build directory has no Makefile of its own before its first use.
    command = _make(paths.build, kernel.release, f"O={paths.build}", "olddefconfig")
    command[command.index("-C") + 1] = str(paths.source / "linux")
    ui.run_logged(command, cache.log("configure"), progress)
    difference = compare_configs(theirs, config.read_text())
    if difference:
        raise ui.Fail(
            f"the configuration of {kernel.release} changes under the tools of the build root "
            "(-: the distribution's, +: here):\n"
            + "\n".join(f"    {line}" for line in difference.splitlines()[:20]),
            "lines with a VERSION mean that its compilers are not those of the build root: "
            "`make clean-cache` for a new build root, or choose another kernel with KERNEL=",
        )


def _prepare_modules(kernel: index.Candidate, paths: _Paths, progress: ui.Progress) -> None:
    ui.run_logged(
        _make(paths.build, kernel.release, *QUICK, "prepare", "modules_prepare"),
        cache.log("prepare"),
        progress,
        env={"PATH": f"{QUICK_TOOLS}:{os.environ['PATH']}"},
    )
    made = (paths.build / "include/config/kernel.release").read_text().strip()
    if made != kernel.release:
        raise ui.Fail(
            f"the prepared source calls itself {made} and not {kernel.release}",
            "its modules would not load; choose another kernel with KERNEL=",
        )


def lend_host_crates(
    lender: Kernel, source: Path, build: Path, make: Sequence[str], progress: ui.Progress
) -> None:
    """Spares another build of the same version the crates that run in the compiler (syn and what it
    needs): they are the same whatever the configuration.

    `make` is the command for that build, which is configured and has not begun.
    """
    theirs, host = lender.build / "rust/host", build / "rust/host"
    # Older kernels have no such crates.
    if host.exists() or not theirs.exists():
        return
    # make goes by time: the files that stand for the options have to be older.
    ui.run_logged([*make, "syncconfig"], cache.log("syncconfig"), progress, cwd=source)
    host.mkdir(parents=True)
    for path in sorted(theirs.iterdir(), key=lambda path: path.stat().st_mtime):
        copied = Path(shutil.copyfile(path, host / path.name))
        # It compares the commands, too, which it keeps in files of its own.
        if path.suffix == ".cmd":
            kept = path.read_text().replace(str(lender.build), str(build))
            copied.write_text(kept.replace(str(lender.source), str(source)))


def generated_symbols(rust: Path) -> set[str]:
    """The Rust symbols that a kernel built here would export."""
    names: set[str] = set()
    for header in rust.glob("exports_*_generated.h"):
        names.update(RUST_EXPORT.findall(header.read_text()))
    return names


def exported_symbols(symvers: str) -> set[str]:
    """The Rust symbols that the image exports, according to its `Module.symvers`."""
    names = set()
    for line in symvers.splitlines():
        fields = line.split("\t")
        if len(fields) >= 3 and fields[1].startswith("_R") and fields[2] == "vmlinux":
            names.add(fields[1])
    return names


def compare_symbols(ours: set[str], theirs: set[str], config: dict[str, str], rustc: str) -> None:
    """Raises `Fail` unless the sets are the same: modules built here would not load."""
    if ours == theirs and ours:
        return
    here = f"{len(ours & theirs)} of its {len(theirs)} Rust symbols are met, {len(ours - theirs)} differ"
    raise ui.Fail(
        "modules built here would not load into the distribution's kernel: "
        f"{here} (it was built with {config.get('CONFIG_RUSTC_VERSION_TEXT', 'no Rust')}; "
        f"the build root has {rustc})",
        "`make clean-cache` for a build root with the archive's present compiler, or choose "
        "another kernel with KERNEL=",
    )


def _check_symbols(paths: _Paths) -> None:
    symvers = paths.packages / "Module.symvers"
    rustc = subprocess.run(["rustc", "--version"], check=True, capture_output=True, text=True)
    compare_symbols(
        generated_symbols(paths.build / "rust"),
        exported_symbols(symvers.read_text()),
        _config(paths.packages / ".config"),
        rustc.stdout.strip(),
    )
    shutil.copyfile(symvers, paths.build / "Module.symvers")


def _make_packages(kernel: index.Candidate, paths: _Paths, steps: ui.Steps) -> None:
    with steps.step(f"fetch the headers of {kernel.release}") as progress:
        _fetch_headers(kernel, paths.packages, progress)
    with steps.step("fetch its image and modules") as progress:
        _fetch_image(kernel, paths.packages, progress)


def _make_build(kernel: index.Candidate, paths: _Paths, steps: ui.Steps) -> None:
    with steps.step("configure it as the distribution does") as progress:
        _configure(kernel, paths, progress)
    with steps.step("build the Rust metadata and the tools of its build") as progress:
        _prepare_modules(kernel, paths, progress)
    with steps.step("compare the Rust symbols with those of the image"):
        _check_symbols(paths)


def _make_image(kernel: index.Candidate, paths: _Paths, steps: ui.Steps) -> None:
    with steps.step("unpack its image"):
        image = _find_image(paths.packages, kernel.release).read_bytes()
        has_pvh = _config(paths.packages / ".config").get("CONFIG_PVH") == "y"
        elf = unpacked(image) if has_pvh else None
        (paths.image / "vmlinux").write_bytes(elf or image)


def _make_source(kernel: index.Candidate, paths: _Paths, steps: ui.Steps) -> None:
    with steps.step("fetch and unpack its source") as progress:
        _fetch_source(kernel, paths.source, progress)


def check_disk(needed_gib: int | None = None) -> None:
    """Raises `Fail` unless there is that much room for a kernel."""
    needed_gib = needed_gib or NEEDED_GIB
    free = shutil.disk_usage(cache.root()).free
    if free < needed_gib << 30:
        raise ui.Fail(
            f"only {free >> 20} MiB are free in {cache.root()}, and a kernel needs "
            f"{needed_gib << 10} MiB",
            "free some space, or set KTCP_CACHE= to a folder on a larger disk",
        )


def _fill(kernel: index.Candidate) -> Kernel:
    paths = _Paths.of(kernel.version, kernel.release)
    key = f"{LAYOUT} {kernel.version} {kernel.release}"
    parts = (
        (paths.packages, key, _make_packages, 2),
        (paths.image, key, _make_image, 1),
        (paths.source, f"{LAYOUT} {kernel.version}", _make_source, 1),
        (paths.build, key, _make_build, 3),
    )
    missing = sum(n for folder, part, _, n in parts if not cache.is_complete(folder, part))
    if missing:
        check_disk()
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
    """The kernels that lie ready in the cache: what is left to choose from without a network."""
    found = []
    for folder in (cache.root() / "kernels").glob("*_*"):
        release, version = folder.name.split("_", 1)
        match = index.RELEASE.fullmatch(release)
        key = f"{LAYOUT} {version} {release}"
        if match and cache.is_complete(_Paths.of(version, release).build, key):
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
    """Resolves the kernel and makes what is missing of it."""
    kernel = resolve()
    index.warn_if_untested(kernel)
    return _fill(kernel)


# --- The command line ---


def _prepare_command(_arguments: argparse.Namespace) -> int:
    kernel = prepare()
    for field in dataclasses.fields(kernel):
        print(f"{field.name:8} {getattr(kernel, field.name)}")
    return 0


def _update_command(_arguments: argparse.Namespace) -> int:
    apt.update()
    return 0


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser("prepare", help="make a kernel ready, and say where it is")
    command.set_defaults(call=_prepare_command)
    command = subparsers.add_parser("update", help="refresh the package index")
    command.set_defaults(call=_update_command)
