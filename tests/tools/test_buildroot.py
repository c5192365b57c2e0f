# SPDX-License-Identifier: GPL-2.0
"""The script that makes and enters the build root, where it must refuse."""

from __future__ import annotations

import contextlib
import functools
import http.server
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ktcp import module
from .machine import USERS_PATH, apart, without

SCRIPT = str(module.CHECKOUT / "tools/buildroot")
# Nothing listens on the port `discard`.
NO_MIRROR = "http://127.0.0.1:9/debian"


def _run(
    cache: Path, environment: Mapping[str, str] | None = None, prefix: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*prefix, SCRIPT, "true"],
        env={**os.environ, "KTCP_CACHE": str(cache), "no_proxy": "*", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )


def _refuses(result: subprocess.CompletedProcess[str], message: str, hint: str) -> None:
    """It says what is wrong and what to do, in one sentence each, and nothing else."""
    assert result.returncode == 1, result.stderr
    lines = [line for line in result.stderr.splitlines() if not line.startswith("making the")]
    assert len(lines) == 2, result.stderr
    assert lines[0].startswith("error: ") and message in lines[0]
    assert lines[1].startswith("  -> ") and hint in lines[1]


def _nothing_made(cache: Path) -> bool:
    return not [path for path in cache.glob("roots/*") if path.suffix != ".lock"]


@pytest.mark.parametrize("shown", ["/", "/usr", "/not/there"])
def test_a_folder_that_is_no_modules_is_refused(folder: Path, shown: str) -> None:
    result = _run(folder, {"KTCP_ALSO": shown})
    _refuses(result, f"DIR={shown} holds no module", "make new")
    assert _nothing_made(folder)


def test_a_user_other_than_root_is_refused(folder: Path) -> None:
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    # The checkout may lie where only root may look.
    copy = Path("/tmp/tools-of-nobody")
    copy.mkdir(mode=0o755)
    try:
        shutil.copy(SCRIPT, copy)
        result = subprocess.run(
            [*nobody, str(copy / "buildroot"), "true"],
            env={**os.environ, "KTCP_CACHE": str(folder / "new")},
            capture_output=True,
            text=True,
            check=False,
        )
    finally:
        shutil.rmtree(copy)
    _refuses(result, "root is needed", "sudo make")
    assert not (folder / "new").exists()


@pytest.mark.parametrize(
    "tool, package",
    [
        ("apt-get", "apt"),
        ("chroot", "coreutils"),
        ("flock", "util-linux"),
        ("sha256sum", "coreutils"),
    ],
)
@pytest.mark.parametrize("path", [USERS_PATH, f"{USERS_PATH}:/usr/sbin"])
def test_a_missing_tool_is_named_with_its_package(
    folder: Path, tool: str, package: str, path: str
) -> None:
    result = _run(folder / "new", {"PATH": path}, prefix=without(tool))
    _refuses(result, f"the tool `{tool}` is missing", f"`apt-get install {package}`")
    assert not (folder / "new").exists()


def test_tools_of_root_are_found_without_their_folders_in_path(folder: Path, mirror: str) -> None:
    # mmdebstrap, and dpkg in it, want them too.
    seen = folder / "seen"
    asks = "command -v chroot depmod ldconfig start-stop-daemon"
    environment = _pretend(folder, f"{{ echo $PATH; {asks}; }} >{seen}; exit 1")
    path = f"{folder}/bin:{USERS_PATH}"
    result = _run(folder / "c", {**environment, "PATH": path, "KTCP_MIRROR": mirror})
    assert "could not make the build root" in result.stderr, result.stderr
    given, *places = seen.read_text().splitlines()
    # Those of the person come first.
    assert given.startswith(f"{path}:")
    assert [Path(place).name for place in places] == asks.split()[2:]


def test_too_little_disk_is_refused(folder: Path) -> None:
    result = subprocess.run(
        [*apart("small-disk", str(folder)), SCRIPT, "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    _refuses(result, "MiB are free", "KTCP_CACHE=")
    assert "8192 MiB" in result.stderr
    assert result.stdout == ""


def test_a_folder_with_other_things_is_refused(folder: Path) -> None:
    (folder / "thesis.odt").touch()
    _refuses(_run(folder), "holds other things", "an empty folder")
    assert [path.name for path in folder.iterdir()] == ["thesis.odt"]
    result = subprocess.run([SCRIPT, "--remove-cache"], capture_output=True, text=True, check=False)
    _refuses(result, "holds other things", "an empty folder")
    assert (folder / "thesis.odt").exists()


def test_a_mirror_that_does_not_answer_is_named(folder: Path) -> None:
    result = _run(folder / "c", {"KTCP_MIRROR": NO_MIRROR})
    _refuses(result, f"the mirror {NO_MIRROR} does not give out trixie", "KTCP_MIRROR=")
    assert _nothing_made(folder / "c")


def test_a_fresh_machine_without_a_network_is_told_to_name_a_mirror(folder: Path) -> None:
    # apt with its sources but without an index, as it comes from the installer
    lists = folder / "lists"
    lists.mkdir()
    config = folder / "apt.conf"
    config.write_text(f'Dir::State::Lists "{lists}";\nAPT::Sandbox::User "root";\n')
    fresh = {"APT_CONFIG": str(config), "KTCP_MIRROR": ""}
    result = _run(folder / "c", fresh, prefix=("unshare", "--net"))
    _refuses(result, "no Debian mirror", "KTCP_MIRROR=")
    assert _nothing_made(folder / "c")


def test_a_path_with_a_space_is_refused(folder: Path) -> None:
    _refuses(_run(folder / "my cache"), "a space", "KTCP_CACHE=")


# --- While it is being made ---


@pytest.fixture
def mirror(folder: Path) -> Iterator[str]:
    """Answers what is asked before the build root is made."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    pages = folder / "mirror"
    for suite in ("trixie", "trixie-backports"):
        (pages / "dists" / suite).mkdir(parents=True)
        (pages / "dists" / suite / "InRelease").write_text("Suite: x\n")
    handler = functools.partial(Quiet, directory=str(pages))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def _pretend(folder: Path, script: str) -> dict[str, str]:
    """An environment in which `mmdebstrap` is this script."""
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "mmdebstrap").write_text(f"#!/bin/bash\n{script}\n")
    (tools / "mmdebstrap").chmod(0o755)
    return {"PATH": f"{tools}:{os.environ['PATH']}"}


# The folder to fill is the argument before the last one. Not by `touch`: a shell whose child ends well
# goes on, even if Ctrl-C came meanwhile.
HALF = 'root="${@: -2:1}"; mkdir -p "$root/etc"; : >"$root/half"'


def test_keys_that_are_too_old_are_named(folder: Path, mirror: str) -> None:
    fails = _pretend(folder, f"{HALF}; echo 'W: GPG error: trixie InRelease: NO_PUBKEY 1'; exit 1")
    result = _run(folder / "c", {**fails, "KTCP_MIRROR": mirror})
    _refuses(result, "the keys of this machine do not vouch", "debian-archive-keyring")
    assert _nothing_made(folder / "c")


def test_a_failure_shows_its_last_lines(folder: Path, mirror: str) -> None:
    fails = _pretend(folder, f"{HALF}; echo 'E: no such package: rustc'; exit 1")
    result = _run(folder / "c", {**fails, "KTCP_MIRROR": mirror})
    assert result.returncode == 1
    assert "E: no such package: rustc" in result.stderr
    assert "could not make the build root" in result.stderr
    assert _nothing_made(folder / "c")


@contextlib.contextmanager
def _being_made(folder: Path, mirror: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run that is in the middle of making the build root."""
    stuck = _pretend(folder, f"{HALF}; exec sleep 60")
    with subprocess.Popen(
        # A run in the background may have inherited that Ctrl-C is ignored.
        ["env", "--default-signal=INT", SCRIPT, "true"],
        env={
            **os.environ,
            **stuck,
            "KTCP_CACHE": str(folder / "c"),
            "KTCP_MIRROR": mirror,
            "no_proxy": "*",
        },
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as child:
        try:
            while not list(folder.glob("c/roots/*.tmp/root/half")):
                assert child.poll() is None
                time.sleep(0.05)
            yield child
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def test_ctrl_c_leaves_nothing(folder: Path, mirror: str) -> None:
    with _being_made(folder, mirror) as child:
        os.killpg(child.pid, signal.SIGINT)
        assert child.wait(10) == 130
    assert _nothing_made(folder / "c")


def test_what_a_killed_run_left_is_thrown_away(folder: Path, mirror: str) -> None:
    with _being_made(folder, mirror) as child:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert not _nothing_made(folder / "c"), "the run must have been killed in the middle"
    _refuses(_run(folder / "c", {"KTCP_MIRROR": NO_MIRROR}), "does not give out", "KTCP_MIRROR=")
    assert _nothing_made(folder / "c")


def test_the_cache_is_removed_only_when_nobody_uses_it(folder: Path, mirror: str) -> None:
    remove = functools.partial(
        subprocess.run,
        [SCRIPT, "--remove-cache"],
        env={**os.environ, "KTCP_CACHE": str(folder / "c")},
        capture_output=True,
        text=True,
        check=False,
    )
    with _being_made(folder, mirror):
        _refuses(remove(), "is in use", "end the other run")
        assert list(folder.glob("c/roots/*.tmp/root/half"))
    assert remove().returncode == 0
    assert not (folder / "c").exists()
