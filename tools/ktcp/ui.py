# SPDX-License-Identifier: GPL-2.0
"""Output at the terminal: steps with their time, and errors that say what to do.

Progress goes to standard error, so that standard output carries results only.

By hand: python3-rich draws for terminals, and says nothing in a log file until a step has ended, so half of
`Progress` would stay. It is six more packages to install before anything is built, and takes a tenth of a
second to import. Its tables would replace the twelve lines of `lab.table.aligned`.
"""

from __future__ import annotations

import collections
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

# Seconds between two updates of the line on a terminal, and between two notes in a log file that a long
# step is still alive.
REDRAW_SECONDS = 0.25
HEARTBEAT_SECONDS = 30.0

# A line of the kernel's build system about a step, among the warnings of compilers
STEP = re.compile(rb"  [A-Z]")

# Lines of a log that are shown when the command that wrote it fails.
TAIL_LINES = 15


class Fail(Exception):
    """An expected failure: a sentence about the fault, and one about the remedy."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def is_terminal() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def colour(code: str, text: str) -> str:
    """Returns `text` in an ANSI colour if the terminal shows colours."""
    if is_terminal() and "NO_COLOR" not in os.environ:
        return f"\033[{code}m{text}\033[0m"
    return text


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def note(text: str) -> None:
    say(f"{colour('36', 'note:')} {text}")


def warn(text: str) -> None:
    say(f"{colour('33', 'warning:')} {text}")


def report(failure: Fail) -> None:
    say(f"{colour('31', 'error:')} {failure.message}")
    if failure.hint:
        say(f"  -> {failure.hint}")


def duration(seconds: float) -> str:
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60:02} s"


class Progress:
    """One running step: its title, its time and, if the step tells, how far it is."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._detail: str | Callable[[], str] = ""
        self._started = time.monotonic()
        self._done = threading.Event()
        self._moving = is_terminal()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def detail(self, text: str | Callable[[], str]) -> None:
        """Sets the progress of the step, such as `1204 lines`. Cheap enough to call for every line.

        `text` may be a function, which is called when the progress is drawn.
        """
        self._detail = text

    def elapsed(self) -> float:
        return time.monotonic() - self._started

    def _line(self) -> str:
        detail = self._detail if isinstance(self._detail, str) else self._detail()
        parts = [duration(self.elapsed())] + ([detail] if detail else [])
        return f"{self._title} … {', '.join(parts)}"

    def _draw(self, line: str, end: str) -> None:
        width = os.get_terminal_size(sys.stderr.fileno()).columns if self._moving else 0
        if width > 1:
            line = line[: width - 1]
        print(f"\r{line}\033[K", end=end, file=sys.stderr, flush=True)

    def _tick(self) -> None:
        while not self._done.wait(REDRAW_SECONDS if self._moving else HEARTBEAT_SECONDS):
            if self._moving:
                self._draw(self._line(), "")
            else:
                say(self._line())

    def __enter__(self) -> Progress:
        if self._moving:
            self._draw(self._line(), "")
        else:
            say(f"{self._title} …")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()
        ended = "" if kind is None else ", interrupted" if kind is KeyboardInterrupt else ", failed"
        line = f"{self._title} … {duration(self.elapsed())}{ended}"
        if self._moving:
            self._draw(line, "\n")
        elif ended or self.elapsed() >= 1:
            say(line)


class Steps:
    """Counts the steps of one task: `[2/6] unpack the kernel source … 12 s`."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._number = 0

    def step(self, title: str) -> Progress:
        self._number += 1
        return Progress(f"{colour('1', f'[{self._number}/{self._total}]')} {title}")


def _failed(command: Sequence[str], status: int, tail: Sequence[str], log: Path) -> Fail:
    shown = "\n".join(f"    {line}" for line in tail)
    how = f"was ended by signal {-status}" if status < 0 else f"failed with status {status}"
    return Fail(
        f"`{' '.join(command[:3])}{' …' if len(command) > 3 else ''}` {how}; its last lines:\n{shown}",
        f"the whole output is in {log}",
    )


@contextmanager
def _child(
    command: Sequence[str], cwd: Path | None, env: Mapping[str, str] | None
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `command`; no child outlives the block, even if an exception ends it."""
    try:
        child = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    except FileNotFoundError as error:
        raise Fail(
            f"the tool `{command[0]}` is missing from the build root",
            "`make clean-cache` and run again: the build root is made anew",
        ) from error
    try:
        yield child
    except BaseException:
        # Ctrl-C reaches the child too (it is in our process group): give it time to clean up.
        child.terminate()
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()
        raise
    finally:
        child.wait()


def run_logged(
    command: Sequence[str],
    log: Path,
    progress: Progress | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    unit: str = "lines",
) -> list[str]:
    """Runs `command` with its output in the file `log`, and returns the last lines of it.

    `env` is added to the environment; `unit` is what a line of output stands for, and if that is
    `steps`, lines that tell of none are not counted. Raises `Fail` with the tail of the log if the
    command fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    tail: collections.deque[str] = collections.deque(maxlen=TAIL_LINES)
    with log.open("wb") as out, _child(command, cwd, env) as child:
        out.write(f"$ {' '.join(command)}\n".encode())
        assert child.stdout is not None
        count = 0
        for raw in child.stdout:
            out.write(raw)
            out.flush()
            tail.append(raw.decode(errors="replace").rstrip())
            count += unit != "steps" or STEP.match(raw) is not None
            if progress is not None:
                progress.detail(f"{count} {unit}")
    if child.returncode != 0:
        raise _failed(command, child.returncode, tail, log)
    return list(tail)
