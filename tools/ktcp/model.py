# SPDX-License-Identifier: GPL-2.0
"""`make test-model`: explores the lock-free parts of the library with a model checker, on this machine.

The models are in tests/model/. They are run in a copy, as they are, and then with mistakes, one at a
time, each of which a model has to find.
"""

from __future__ import annotations

import re
import shutil
import subprocess

from . import cache, module, ui
from .lab import programs
from .mutate import Mutation, apply

MODELS = "tests/model"
SOURCES = module.CHECKOUT / MODELS
# The copy, in which cargo keeps what it has built from one run to the next
TREE = module.BUILD / "model-tree"
LOG = "test-model"
# Seconds after which a model that does not end counts as one that has noticed
PATIENCE = 120

FAILED = re.compile(r"^test models::(\S+) \.\.\. FAILED$", re.MULTILINE)
# cargo's line once everything is built
BUILT = re.compile(r"^ *Running unittests", re.MULTILINE)

_STATE = "lib/connection/state.rs"
_TIMERS = "lib/connection/timers.rs"
_QUEUE = "lib/sync/run_queue.rs"
_PARKER = "lib/sync/parker.rs"
_LATCH = "lib/sync/latch.rs"

# The model that has to find it stands where others have the suites.
MISTAKES = (
    Mutation(
        "what happens at the end of a poll is forgotten",
        _STATE,
        "if self.value.cmpxchg(RUNNING, NOTIFIED, Full).is_ok() {\n"
        "                        return false;\n"
        "                    }",
        "let _ = self.value.cmpxchg(RUNNING, NOTIFIED, Full);\n"
        "                    return false;",
        "connection::no_notification_is_lost",
    ),
    Mutation(
        "a poll ends whatever has happened",
        _STATE,
        "self.value.cmpxchg(RUNNING, IDLE, Full).is_ok()",
        "self.value.xchg(IDLE, Full) != IDLE",
        "connection::no_notification_is_lost",
    ),
    Mutation(
        "the end of a poll orders nothing",
        _STATE,
        "self.value.cmpxchg(RUNNING, IDLE, Full).is_ok()",
        "self.value.cmpxchg(RUNNING, IDLE, Relaxed).is_ok()",
        "connection::no_notification_is_lost",
    ),
    Mutation(
        "a request that is there already is not made again",
        _STATE,
        "                CLOSED => return false,\n",
        "                CLOSED => return false,\n"
        "                other if other & SLOW_PATH != 0 => return false,\n",
        "connection::no_request_is_lost",
    ),
    Mutation(
        "a poll that is due again forgets the request",
        _STATE,
        "QUEUED | value & SLOW_PATH",
        "QUEUED",
        "connection::no_request_is_lost",
    ),
    Mutation(
        "a closed connection is queued again",
        _STATE,
        "self.value.xchg(CLOSED, Full);",
        "self.value.xchg(IDLE, Full);",
        "connection::a_closed_one_stays_closed",
    ),
    Mutation(
        "pushing orders nothing",
        _QUEUE,
        "self.head.cmpxchg(head, raw, Full)",
        "self.head.cmpxchg(head, raw, Relaxed)",
        "run_queue::nothing_is_lost_and_the_order_is_kept",
    ),
    Mutation(
        "pushing orders nothing that follows it",
        _QUEUE,
        "match self.head.cmpxchg(head, raw, Full) {",
        "match self.head.cmpxchg(head, raw, kernel::sync::atomic::Release) {",
        "run_queue::an_executor_wakes_for_what_is_pushed",
    ),
    Mutation(
        "taking all orders nothing",
        _QUEUE,
        "self.head.xchg(ptr::null(), Full)",
        "self.head.xchg(ptr::null(), Relaxed)",
        "run_queue::nothing_is_lost_and_the_order_is_kept",
    ),
    Mutation(
        "taking all loses what is pushed meanwhile",
        _QUEUE,
        "let mut newest = self.head.xchg(ptr::null(), Full);",
        "let mut newest = self.head.load(kernel::sync::atomic::Acquire);\n"
        "        self.head.store(ptr::null(), kernel::sync::atomic::Release);",
        "run_queue::nothing_is_lost_and_the_order_is_kept",
    ),
    Mutation(
        "the executor of an empty queue is not woken",
        _QUEUE,
        "Ok(_) => return head.is_null(),",
        "Ok(_) => return !head.is_null(),",
        "run_queue::an_executor_wakes_for_what_is_pushed",
    ),
    Mutation(
        "the condition is looked at before the state is set",
        _PARKER,
        "            unsafe { shim::ktcp_prepare_to_park() };\n            let done = ready();\n",
        "            let done = ready();\n            unsafe { shim::ktcp_prepare_to_park() };\n",
        "parker::it_wakes",
    ),
    Mutation(
        "a task that was woken does not look again",
        _PARKER,
        "            if done {\n                return;\n            }",
        "            return;",
        "parker::it_wakes_for_the_last_of_many",
    ),
    Mutation(
        "a tick starts a timer that a poll has stopped meanwhile",
        _TIMERS,
        "set(&self.acked, now.wrapping_sub(1).max(1));",
        "if self.send.load(Relaxed) != 0 {\n            set(&self.send, now);\n        }",
        "timers::with_all_output_sent_no_timeout_passes",
    ),
    Mutation(
        "opening a latch orders nothing",
        _LATCH,
        "self.opened.store(true, Release);",
        "self.opened.store(true, kernel::sync::atomic::Relaxed);",
        "latch::what_came_before_is_visible_where_it_is_opened",
    ),
    Mutation(
        "a latch counts as open while it is being opened",
        _LATCH,
        "unsafe { bindings::completion_done(self.completion.get()) }",
        "self.is_opening()",
        "latch::an_open_one_can_be_freed",
    ),
)


def verdict(status: int, output: str) -> str:
    """The models that have found a mistake, according to cargo's output; empty if none has."""
    if status == 0:
        return ""
    if not BUILT.search(output):
        raise ui.Fail("it does not build", "mend the mistake in tools/ktcp/model.py")
    # Unwinding from within a model can be one panic too many.
    return ", ".join(FAILED.findall(output)) or "a model, which died"


def _command(*names: str) -> list[str]:
    return programs.cargo("test", "--no-fail-fast", "--", *names)


def _copy() -> None:
    """Copies the models and the files that they include, with new times, even for a cargo that has seen
    the mistakes of the run before."""
    for folder in ("lib", "tests/model"):
        shutil.rmtree(TREE / folder, ignore_errors=True)
        shutil.copytree(module.CHECKOUT / folder, TREE / folder, copy_function=shutil.copyfile)


def _explore(case: str) -> programs.Tested:
    """Runs the models whose names have `case` in them on the library as it is."""
    log = cache.log(LOG)
    failure: ui.Fail | None = None
    with ui.Progress("explore the lock-free parts") as progress:
        try:
            ui.run_logged(_command(*([case] if case else [])), log, progress, cwd=TREE / MODELS)
        except ui.Fail as caught:
            failure = caught
    found = programs.counts(log.read_text(errors="replace"))
    if failure is not None:
        if not found.failed:
            # It does not build, or a model died.
            raise failure
        print(failure.message, flush=True)
    return found


def _try(mistake: Mutation) -> str:
    """Makes a mistake and runs its model; returns the models that have found it."""
    before = apply(mistake, TREE)
    try:
        result = subprocess.run(
            _command("--exact", f"models::{mistake.suites}"),
            cwd=TREE / MODELS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "a model, which hung"
    finally:
        (TREE / mistake.file).write_text(before)
    with cache.log(LOG).open("a") as log:
        log.write(f"=== {mistake.name}\n{result.stdout}\n")
    return verdict(result.returncode, result.stdout)


def _seed(mistakes: list[Mutation]) -> programs.Tested:
    """Makes each of the mistakes; one that no model finds counts as failed."""
    missed = 0
    with ui.Progress("find what is wrong on purpose") as progress:
        for number, mistake in enumerate(mistakes, 1):
            progress.detail(f"{number} of {len(mistakes)}")
            if not _try(mistake):
                missed += 1
                print(f"{ui.colour('31', 'FAILED')} no model finds: {mistake.name}", flush=True)
    return programs.Tested(len(mistakes) - missed, missed, 0)


def test(case: str) -> programs.Tested:
    """Runs the models, and looks for the mistakes, that have `case` in their names."""
    _copy()
    try:
        explored = _explore(case)
        mistakes = [one for one in MISTAKES if case in one.name or case in one.suites]
        seeded = _seed(mistakes) if mistakes else programs.Tested(0, 0, 0)
    finally:
        module.hand_over(module.BUILD)
    return programs.Tested(
        explored.passed + seeded.passed, explored.failed + seeded.failed, explored.skipped
    )
