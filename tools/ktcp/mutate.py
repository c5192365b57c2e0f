# SPDX-License-Identifier: GPL-2.0
"""`make test-mutations`: breaks the library on purpose, one way at a time, and expects a test to fail.

Each mutation is made in a copy of this checkout, and the suites that should notice it are run on
user-mode Linux. One that no test notices is a gap in the tests, and fails the run.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from . import cache, cli, ui
from .module import BUILD, CHECKOUT

# Seconds after which a kernel that hangs on a mutation is ended.
PATIENCE = 150

FAILED = re.compile(r"\[FAILED\] (\w+)$", re.MULTILINE)
COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# The line of `kunit` before a complaint of the kernel
COMPLAINT = "the kernel complained:"
DOES_NOT_BUILD = re.compile(r"^\[2/2\] build .*, failed$", re.MULTILINE)


@dataclass(frozen=True)
class Mutation:
    """A way to break the library: in `file`, the one place with `old` gets `new`."""

    name: str
    file: str
    old: str
    new: str
    # A glob for the suites that should notice.
    suites: str


MUTATIONS = (
    Mutation(
        "fresh buffers are not zeroed",
        "lib/buffer.rs",
        "KVVec::from_elem(0, size.bytes(), GFP_KERNEL)",
        "KVVec::from_elem(0xaa, size.bytes(), GFP_KERNEL)",
        "ktcp_buffer",
    ),
    Mutation(
        "the whole buffer counts as received",
        "lib/buffer.rs",
        "self.here += count.min(spare.len());",
        "self.here = self.memory.len(); let _ = count;",
        "ktcp_talk_event_loop",
    ),
    Mutation(
        "one connection more than the limit",
        "lib/server/limits.rs",
        "if open >= limits.connections {",
        "if open > limits.connections {",
        "ktcp_limits_event_loop",
    ),
    Mutation(
        "one connection more for each address",
        "lib/server/limits.rs",
        "if *count >= per_peer",
        "if *count > per_peer",
        "ktcp_limits_event_loop",
    ),
    Mutation(
        "each IPv6 address is a peer of its own",
        "lib/server/limits.rs",
        "IpAddr::V6(addr) => (addr, usize::from(self.v6)),",
        "IpAddr::V6(addr) => (addr, 128.max(usize::from(self.v6))),",
        "ktcp_limits",
    ),
    Mutation(
        "an address never gets its share back",
        "lib/server/table.rs",
        "        self.shares.give_back(connection.endpoint().peer.ip());\n",
        "",
        "ktcp_limits_event_loop",
    ),
    Mutation(
        "a refused peer sees an orderly end",
        "lib/server/accept.rs",
        ".inspect_err(|_| stream.reset_on_drop())?;",
        "?;",
        "ktcp_limits_event_loop",
    ),
    Mutation(
        "the back-off does not grow",
        "lib/util/backoff.rs",
        "self.millis = (self.millis * 2).min(Self::LONGEST);",
        "self.millis = self.millis.min(Self::LONGEST);",
        "ktcp_backoff",
    ),
    Mutation(
        "an error ends accepting for good",
        "lib/server/accept.rs",
        "                    stopping.wait_timeout(backoff.next_pause());\n",
        "                    stopping.wait_timeout(backoff.next_pause());\n                    return;\n",
        "ktcp_memory_event_loop",
    ),
    Mutation(
        "the drain has no deadline",
        "lib/server/running.rs",
        "if self.drained.wait_timeout(within) {",
        "if self.drained.wait_timeout(within.max(Delta::from_secs(40))) {",
        "ktcp_lifecycle_event_loop",
    ),
    Mutation(
        "the drain does not wait for output",
        "lib/server/running.rs",
        "if self.drained.wait_timeout(within) {",
        "if self.drained.wait_timeout(within.min(Delta::ZERO)) {",
        "ktcp_lifecycle_event_loop",
    ),
    Mutation(
        "a thread is not joined",
        "lib/module/kthread/thread.rs",
        "        if self.wait().is_err() {",
        "        if true {",
        "ktcp_kthread",
    ),
    Mutation(
        "a thread that waits counts as load",
        "lib/shim/freezer.c",
        "PF_KTHREAD ? TASK_IDLE :",
        "PF_KTHREAD ? TASK_UNINTERRUPTIBLE :",
        "ktcp_kthread",
    ),
    Mutation(
        "a loop without work counts as load",
        "lib/shim/shim.c",
        "set_current_state(TASK_IDLE);",
        "set_current_state(TASK_UNINTERRUPTIBLE);",
        "ktcp_parker",
    ),
    Mutation(
        "a thread that was joined is kept",
        "lib/module/kthread/thread.rs",
        "bindings::kthread_stop_put(",
        "bindings::kthread_stop(",
        "ktcp_kthread",
    ),
    Mutation(
        "an idle connection stays",
        "lib/connection/timers.rs",
        "} else if passed(&self.idle, unacked, timeouts.idle) {",
        "} else if false && passed(&self.idle, unacked, timeouts.idle) {",
        "ktcp_limits_event_loop",
    ),
    Mutation(
        "a peer that does not read is waited for",
        "lib/connection/timers.rs",
        "if passed(&self.send, unacked, timeouts.send) {",
        "if false && passed(&self.send, unacked, timeouts.send) {",
        "ktcp_limits_event_loop",
    ),
    Mutation(
        "each drip of a message restarts its timeout",
        "lib/connection/timers.rs",
        "run(&self.receive, now, pending.input, pending.consumed);",
        "run(&self.receive, now, pending.input, pending.received);",
        "ktcp_limits_event_loop",
    ),
    Mutation(
        "the handler is not told of the end",
        "lib/connection/driver/protocol.rs",
        "self.handler.close(session, action.reason);",
        "drop(session);",
        "ktcp_talk_event_loop",
    ),
    Mutation(
        "an end in the middle of the output is an orderly one",
        "lib/connection/driver/protocol.rs",
        "if action.reset || is_cut_short {",
        "if action.reset {",
        "ktcp_ends_event_loop",
    ),
    Mutation(
        "a closing connection is let go before its peer has everything",
        "lib/connection/driver/protocol.rs",
        "Ok(false) if is_limited() => {}",
        "Ok(false) if is_limited() && cx.env.name.is_empty() => {}",
        "ktcp_ends_event_loop",
    ),
    Mutation(
        "a closing connection has all the time in the world",
        "lib/connection/driver/protocol.rs",
        "let limited = cx.stream.limit_silence(cx.env.config.close_timeout);",
        "let limited: Result = Ok(());",
        "ktcp_ends_event_loop",
    ),
    Mutation(
        "a peer that reads slowly is idle",
        "lib/net/progress.rs",
        "        acked != before\n",
        "        acked != before && false\n",
        "ktcp_ends_event_loop",
    ),
    Mutation(
        "an input that is full is not noticed",
        "lib/connection/poll_cx.rs",
        "input.is_some_and(|input| input.room() == 0)",
        "input.is_some_and(|input| input.room() == usize::MAX)",
        "ktcp_talk_event_loop",
    ),
    Mutation(
        "a sender outlives its connection unnoticed",
        "lib/connection/inbox.rs",
        "if pushed.closed {",
        "if pushed.closed && data.is_empty() {",
        "ktcp_push_event_loop",
    ),
    Mutation(
        "a push takes what fits and drops the rest",
        "lib/connection/inbox.rs",
        "if data.len() > buffer.room() {",
        "if data.len() > buffer.room() && buffer.room() == 0 {",
        "ktcp_push_event_loop",
    ),
    Mutation(
        "a request does not lead to the slow path",
        "lib/connection/state.rs",
        "IDLE => QUEUED | SLOW_PATH,",
        "IDLE => QUEUED,",
        "ktcp_push_event_loop",
    ),
    Mutation(
        "dropping a sender frees the rest of its server at once",
        "lib/module/cleanup.rs",
        "defer(Arc::from(last));",
        "drop(last);",
        "ktcp_push_event_loop",
    ),
    Mutation(
        "a handler waits for its own server, as far as a circle is not seen",
        "lib/server/handle.rs",
        "kthread::is_of_a_server() || ",
        "false && ",
        "ktcp_circles_event_loop",
    ),
    Mutation(
        "a circle of tasks that wait is not seen",
        "lib/sync/deadlock.rs",
        "        if next.depends_on(waiter) {\n            return true;\n        }\n",
        "        let _ = next.depends_on(waiter);\n",
        "ktcp_circles",
    ),
    Mutation(
        "a server does not know its own threads",
        "lib/server/handle.rs",
        "shared.is_some_and(|shared| waiter.server == Some(shared.id()))",
        "shared.is_some_and(|_| waiter.is_worker && !waiter.is_worker)",
        "ktcp_circles_event_loop",
    ),
    Mutation(
        "handlers are waited for, whatever they wait for",
        "lib/server/running.rs",
        "                connection.interrupt();\n",
        "                let _ = connection;\n",
        "ktcp_circles_workqueue",
    ),
    Mutation(
        "a deadline that was given in a handler is forgotten",
        "lib/server/handle.rs",
        "                .populate(within.clamp(Delta::ZERO, LONGEST_DRAIN));\n",
        "                .populate(LONGEST_DRAIN.max(within));\n",
        "ktcp_circles_kthread",
    ),
    Mutation(
        "a queue runs what is not its module's",
        "lib/module/workqueue/listed.rs",
        "if unsafe { registry::is_code_of(self.module, code) } {",
        "if unsafe { registry::is_code_of(self.module, code) } || true {",
        "ktcp_misuse_event_loop",
    ),
    Mutation(
        "a queue takes more items than run at once",
        "lib/module/workqueue/listed.rs",
        "fetch_add(1, Relaxed) >= queue.most {",
        "fetch_add(1, Relaxed) >= u32::MAX - queue.most {",
        "ktcp_many_items",
    ),
    Mutation(
        "a test of a service in a handler leaves its server behind",
        "lib/testing.rs",
        "if runs_code_of_a_server() {",
        "if false && runs_code_of_a_server() {",
        "ktcp_circles_kthread",
    ),
    Mutation(
        "softirqs run where interrupts are disabled",
        "lib/shim/atomic.c",
        "unlikely(irqs_disabled())) {",
        "false) {",
        "ktcp_circles",
    ),
    Mutation(
        "a socket is taken from another user who watches it",
        "lib/shim/watch.c",
        "\tif (sk->sk_user_data) {",
        "\tif (false) {",
        "ktcp_limits_event_loop",
    ),
    Mutation(
        "an event that comes too late is told",
        "lib/shim/watch.c",
        "if (likely(watch && sk->sk_data_ready == ktcp_watch_event))",
        "if (likely(watch))",
        "ktcp_watch",
    ),
    Mutation(
        "a socket is taken for one of TCP before it is known to be one",
        "lib/shim/pages.c",
        "\tif (!ktcp_is_plain_tcp(sock))",
        "\tif (false)",
        "ktcp_pages",
    ),
    Mutation(
        "pages that a client shares are kept",
        "lib/shim/pages.c",
        "\t       !skb_has_shared_frag(skb) && ",
        "\t       ",
        "ktcp_pages",
    ),
    Mutation(
        "pages of files are kept when nothing marks them",
        "lib/shim/pages.c",
        "!READ_ONCE(folio->mapping) && ",
        "",
        "ktcp_pages",
    ),
    Mutation(
        "pages of processes are kept when nothing marks them",
        "lib/shim/pages.c",
        " && !folio_mapped(folio);",
        ";",
        "ktcp_pages",
    ),
    Mutation(
        "a backlog may be longer than somaxconn",
        "lib/shim/sockopt.c",
        "READ_ONCE(sock_net(sock->sk)->core.sysctl_somaxconn)",
        "INT_MAX",
        "ktcp_settings",
    ),
    Mutation(
        "any socket option can be set",
        "lib/net/socket_option.rs",
        "if !unsafe { shim::ktcp_may_set_option(self.level, self.name) } {",
        "if !unsafe { shim::ktcp_may_set_option(self.level, self.name) } && false {",
        "ktcp_settings",
    ),
    Mutation(
        "accepted connections lose their priority",
        "lib/net/listener.rs",
        "            priority: self.common.settings.priority,\n",
        "            priority: None,\n",
        "ktcp_settings",
    ),
    Mutation(
        "settings of IPv6 are left out",
        "lib/net/settings.rs",
        "match self.of_v6.filter(|_| is_v6) {",
        "match self.of_v6.filter(|_| is_v6 && false) {",
        "ktcp_settings",
    ),
    Mutation(
        "every address may have a link",
        "lib/net/scoped_addr.rs",
        "IpAddr::V6(ip) if ip.segments()[0] & 0xffc0 == 0xfe80 => {}",
        "IpAddr::V6(_) => {}",
        "ktcp_settings",
    ),
    Mutation(
        "each refusal is a line of the log",
        "lib/server/limits.rs",
        "            if now < told + Self::PAUSE {",
        "            if now < told {",
        "ktcp_limits",
    ),
    Mutation(
        "a parameter is read while it is written",
        "lib/shim/shim.c",
        "guard(raw_spinlock_irqsave)(&ktcp_param_lock);",
        "(void)&ktcp_param_lock;",
        "ktcp_param",
    ),
    Mutation(
        "code is started for a module that is not its own",
        "lib/module/registry.rs",
        "if unsafe { is_code_of(module.as_ptr(), code) } {",
        "if unsafe { is_code_of(module.as_ptr(), code) } || true {",
        "ktcp_misuse_event_loop",
    ),
    Mutation(
        "a call is asked for more than C can count",
        "lib/net/count.rs",
        "iov_len: len.min(MOST),",
        "iov_len: len.min(usize::MAX),",
        "ktcp_count",
    ),
    Mutation(
        "the write timeout is that for reading",
        "lib/net/stream.rs",
        "self.socket.set_timeout(bindings::SO_SNDTIMEO_NEW, timeout)",
        "self.socket.set_timeout(bindings::SO_RCVTIMEO_NEW, timeout)",
        "ktcp_net",
    ),
    Mutation(
        "the timeout of connecting stays that for writing",
        "lib/net/socket.rs",
        "Some(_) => self.set_timeout(bindings::SO_SNDTIMEO_NEW, None),",
        "Some(_) => Ok(()),",
        "ktcp_net_options",
    ),
    Mutation(
        "a handler that does not return is waited for in silence",
        "lib/server/running.rs",
        "if complained.elapsed() >= Delta::from_secs(10) {",
        "if complained.elapsed() >= Delta::from_secs(1000) {",
        "ktcp_misuse_log",
    ),
    Mutation(
        "a thread that does not end is waited for in silence",
        "lib/module/kthread/thread.rs",
        "while !self.ended.wait_timeout(Delta::from_secs(10)) {",
        "while !self.ended.wait_timeout(Delta::from_secs(1000)) {",
        "ktcp_misuse_log",
    ),
    Mutation(
        "a CPU without a loop takes that of another CPU",
        "lib/executor/event_loop.rs",
        "KVec::from_elem(NONE, possible as usize, GFP_KERNEL)",
        "KVec::from_elem(0, possible as usize, GFP_KERNEL)",
        "ktcp_loops",
    ),
    Mutation(
        "all connections are on one workqueue",
        "lib/executor/workqueue.rs",
        "self.queues.get(item.number() >> self.shift)",
        "self.queues.first()",
        "ktcp_sleepers",
    ),
    Mutation(
        "a listener that another has closed stays closed",
        "lib/server/accept.rs",
        "if error == EINVAL {",
        "if error == EPERM {",
        "ktcp_listening_event_loop",
    ),
    Mutation(
        "a stop leaves the listener that was made meanwhile",
        "lib/server/listening.rs",
        "        if current.closed {",
        "        if false && current.closed {",
        "ktcp_listening",
    ),
    Mutation(
        "a directory is looked up where the caller is",
        "lib/shim/fs.c",
        "\tscoped_with_init_fs()\n",
        "",
        "ktcp_files",
    ),
    Mutation(
        "a directory is looked up from the working directory of process 1",
        "lib/fs.rs",
        'if !name.to_bytes().starts_with(b"/") {',
        "if false {",
        "ktcp_files",
    ),
)


def apply(mutation: Mutation, tree: Path) -> str:
    """Makes the mutation in `tree`; returns the original text. Raises `Fail` if it does not fit any more."""
    file = tree / mutation.file
    text = file.read_text()
    if text.count(mutation.old) != 1:
        raise ui.Fail(
            f"the mutation `{mutation.name}` fits {text.count(mutation.old)} places of "
            f"{mutation.file}, not one",
            "the code has changed: change tools/ktcp/mutate.py with it",
        )
    file.write_text(text.replace(mutation.old, mutation.new))
    return text


def verdict(status: int, output: str) -> str:
    """Returns the tests that noticed the mutation, by the output of `kunit`; empty if none did."""
    output = COLOUR.sub("", output)
    if status == 0:
        return ""
    if DOES_NOT_BUILD.search(output):
        raise ui.Fail("it does not build", "mend the mutation in tools/ktcp/mutate.py")
    names = list(dict.fromkeys(FAILED.findall(output)))
    cases = [name for name in names if not name.startswith("ktcp_")]
    if cases:
        return ", ".join(cases)
    complained = COMPLAINT in output
    return "the kernel, which complained" if complained else "the kernel, which crashed or hung"


def _copy() -> Path:
    """Copies the files under version control."""
    tree = BUILD / "mutations"
    shutil.rmtree(tree, ignore_errors=True)
    git = ["git", "-c", f"safe.directory={CHECKOUT}", "ls-files", "-z"]
    listing = subprocess.run(git, cwd=CHECKOUT, check=True, capture_output=True, text=True)
    for name in listing.stdout.split("\0"):
        if name and (CHECKOUT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(CHECKOUT / name, tree / name)
    return tree


def _try(mutation: Mutation, tree: Path) -> str:
    environment = {
        **os.environ,
        "PYTHONPATH": str(tree / "tools"),
        "KTCP_KUNIT_SECONDS": str(PATIENCE),
    }
    before = apply(mutation, tree)
    try:
        result = subprocess.run(
            [sys.executable, "-m", "ktcp", "kunit", mutation.suites],
            cwd=tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    finally:
        (tree / mutation.file).write_text(before)
    with cache.log("mutations").open("a") as log:
        log.write(f"=== {mutation.name}\n{result.stdout}\n")
    return verdict(result.returncode, result.stdout)


def run(wanted: str) -> int:
    chosen = [mutation for mutation in MUTATIONS if wanted in mutation.name]
    if not chosen:
        raise ui.Fail(f"no mutation matches CASE={wanted}", "tools/ktcp/mutate.py has them all")
    cache.log("mutations").unlink(missing_ok=True)
    tree = _copy()
    survived = 0
    print("| mutation | file | noticed by |\n|---|---|---|", flush=True)
    for number, mutation in enumerate(chosen, 1):
        started = time.monotonic()
        noticed = _try(mutation, tree)
        survived += not noticed
        print(f"| {mutation.name} | `{mutation.file}` | {noticed or '**nothing**'} |", flush=True)
        ui.say(f"{number} of {len(chosen)} … {ui.duration(time.monotonic() - started)}")
    shutil.rmtree(tree)
    print(f"\n{len(chosen) - survived} passed, {survived} failed", flush=True)
    return 1 if survived else 0


# --- The command line ---


def _mutate_command(_arguments: argparse.Namespace) -> int:
    return run(os.environ.get("CASE", ""))


def register(subparsers: cli.Subparsers) -> None:
    command = subparsers.add_parser(
        "test-mutations", help="break the library, and see which tests notice"
    )
    command.set_defaults(call=_mutate_command)
