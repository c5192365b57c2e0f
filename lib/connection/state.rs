// SPDX-License-Identifier: GPL-2.0

//! Scheduling state of a connection: idle, queued for its executor, or being polled by one task.
//!
//! It uses nothing but [`kernel::sync::atomic`], so that `tests/model` can explore it on the host.

use kernel::sync::atomic::{
    Acquire,
    Atomic,
    Full,
    Relaxed, //
};

/// No poll is due until the stream becomes ready.
const IDLE: u32 = 0;
/// A poll is due, and the executor has a reference to the connection.
const QUEUED: u32 = 1;
/// One task polls.
const RUNNING: u32 = 2;
/// One task polls, and the stream has become ready since it began.
const NOTIFIED: u32 = 3;
/// Closed for ever.
const CLOSED: u32 = 4;

/// Added to `QUEUED`, `RUNNING` or `NOTIFIED` when another task has queued data or a close request:
/// the next poll takes the slow path.
const SLOW_PATH: u32 = 8;

/// The path that a poll takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    /// The stream alone.
    Fast,
    /// Looks at what other tasks have queued or requested, then at the stream.
    Slow,
}

/// A state, as a list of connections shows it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    Queued,
    Running,
    Closed,
}

/// The scheduling state of a connection.
///
/// The right to *run* is what it hands out: to use what belongs to the poll, and to call
/// [`finish`](Self::finish), [`requeue`](Self::requeue) and [`close`](Self::close). One task has it
/// at a time, and what the task before has done is visible to it.
///
/// The obligation to *enqueue* is the other: the executor is to be given the connection once. A
/// caller has it when [`notify`](Self::notify) or [`request`](Self::request) returns true, or after
/// `requeue`. So the executor never holds a connection twice.
///
/// # Invariants
///
/// - A task has the right to run once it has created the state, or its [`start`](Self::start) has
///   returned a [`Path`], until it gives the right up by `finish` (successfully), `requeue` or
///   `close`. There is one such task if `value` is `RUNNING` or `NOTIFIED`, with `SLOW_PATH` or
///   without it, and none otherwise.
/// - `value` is `QUEUED`, with `SLOW_PATH` or without it, from where the obligation to enqueue
///   arises until the poll starts for which it was enqueued.
/// - Once `value` is `CLOSED` it does not change any more.
pub(crate) struct State {
    value: Atomic<u32>,
}

impl State {
    /// The state of a new connection. The caller has the right to run.
    pub(crate) fn new() -> Self {
        // INVARIANT: It is `RUNNING`, and the caller is that task.
        Self {
            value: Atomic::new(RUNNING),
        }
    }

    /// Wants a poll, for the stream has become ready. Returns true if the caller has to enqueue the
    /// connection. Any context.
    ///
    /// The caller holds a lock of the stream under which the stream became ready, and which each
    /// poll takes after its [`start`](Self::start): if a poll is due anyway, nothing is written
    /// here, and the order comes from that lock alone.
    #[inline]
    pub(crate) fn notify(&self) -> bool {
        loop {
            match self.value.cmpxchg(IDLE, QUEUED, Full) {
                Ok(_) => return true,
                // Fails when the poll has just ended: look again.
                Err(RUNNING) => {
                    if self.value.cmpxchg(RUNNING, NOTIFIED, Full).is_ok() {
                        return false;
                    }
                }
                Err(_) => return false,
            }
        }
    }

    /// Wants a poll on the slow path, which sees what the caller has written before. Returns true
    /// if the caller has to enqueue the connection. Any context.
    #[inline]
    pub(crate) fn request(&self) -> bool {
        let mut value = self.value.load(Relaxed);
        loop {
            let next = match value {
                IDLE => QUEUED | SLOW_PATH,
                CLOSED => return false,
                // Even if nothing changes by it: `start` is to be ordered after this write.
                other => other | SLOW_PATH,
            };
            match self.value.cmpxchg(value, next, Full) {
                Ok(_) => return value == IDLE,
                Err(changed) => value = changed,
            }
        }
    }

    /// Starts a poll, for the executor that has taken the connection out of its queue. Gives the
    /// caller the right to run, unless the connection is closed. What is requested from now on is
    /// for the poll after this one.
    #[inline]
    pub(crate) fn start(&self) -> Option<Path> {
        // INVARIANT: It was `QUEUED`, so that no task had the right to run; of several callers, the
        // exchange succeeds for one.
        match self.value.cmpxchg(QUEUED, RUNNING, Full) {
            Ok(_) => Some(Path::Fast),
            Err(_) if self.start_slowly() => Some(Path::Slow),
            Err(_) => None,
        }
    }

    #[cold]
    fn start_slowly(&self) -> bool {
        // INVARIANT: As in `start`.
        let requested = QUEUED | SLOW_PATH;
        self.value.cmpxchg(requested, RUNNING, Full).is_ok()
    }

    /// Ends a poll after which nothing is due, and gives up the right to run. Returns false, and
    /// changes nothing, if something has happened since the poll began: [`requeue`](Self::requeue)
    /// has to follow.
    ///
    /// # Safety
    ///
    /// The caller has the right to run.
    #[inline]
    pub(crate) unsafe fn finish(&self) -> bool {
        // INVARIANT: By this function's contract the caller has the right to run, and gives it up.
        self.value.cmpxchg(RUNNING, IDLE, Full).is_ok()
    }

    /// Ends a poll after which another one is due, and gives up the right to run. The caller has to
    /// enqueue the connection.
    ///
    /// # Safety
    ///
    /// The caller has the right to run.
    pub(crate) unsafe fn requeue(&self) {
        let mut value = self.value.load(Relaxed);
        // INVARIANT: By this function's contract the caller has the right to run, and gives it up.
        while let Err(changed) = self.value.cmpxchg(value, QUEUED | value & SLOW_PATH, Full) {
            value = changed;
        }
    }

    /// Ends the last poll, and gives up the right to run, which no task gets again.
    ///
    /// # Safety
    ///
    /// The caller has the right to run.
    pub(crate) unsafe fn close(&self) {
        // INVARIANT: By this function's contract the caller has the right to run, and gives it up.
        // Nothing in this file leads from `CLOSED` to another value.
        self.value.xchg(CLOSED, Full);
    }

    /// Returns true if a poll is due. Any context.
    pub(crate) fn is_queued(&self) -> bool {
        self.value.load(Acquire) & !SLOW_PATH == QUEUED
    }

    /// Returns true if the connection waits for its peer. Orders nothing. Any context.
    pub(crate) fn is_idle(&self) -> bool {
        self.value.load(Relaxed) == IDLE
    }

    /// Returns what the connection is doing. Orders nothing. Any context.
    pub(crate) fn phase(&self) -> Phase {
        match self.value.load(Relaxed) & !SLOW_PATH {
            IDLE => Phase::Idle,
            QUEUED => Phase::Queued,
            CLOSED => Phase::Closed,
            _ => Phase::Running,
        }
    }
}
