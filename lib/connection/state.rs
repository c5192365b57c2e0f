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
    /// Data and requests that other tasks have queued, then the stream.
    Slow,
}

/// The state that a list of connections shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    Queued,
    Running,
    Closed,
}

/// The scheduling state of a connection.
///
/// It hands out the right to *run*: to access the state of the poll, and to call
/// [`finish`](Self::finish), [`requeue`](Self::requeue) and [`close`](Self::close). One task has
/// this right at a time, and sees the writes of the task that had it before.
///
/// It also hands out the obligation to *enqueue*: to give the connection to the executor once. A
/// caller has this obligation when [`notify`](Self::notify) or [`request`](Self::request) returns
/// true, or after `requeue`. So the executor never holds a connection twice.
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
    /// Creates the state of a new connection. The caller has the right to run.
    pub(crate) fn new() -> Self {
        // INVARIANT: `value` is `RUNNING`, and the caller is the task with the right to run.
        Self {
            value: Atomic::new(RUNNING),
        }
    }

    /// Requests a poll because the stream has become ready. Returns true if the caller has to
    /// enqueue the connection. Any context.
    ///
    /// The caller holds the lock of the stream under which the stream became ready, and which each
    /// poll takes after its [`start`](Self::start). If a poll is already due, this writes nothing:
    /// that lock alone orders the event before the poll.
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

    /// Requests a poll on the slow path, which sees the caller's earlier writes. Returns true if
    /// the caller has to enqueue the connection. Any context.
    #[inline]
    pub(crate) fn request(&self) -> bool {
        let mut value = self.value.load(Relaxed);
        loop {
            let next = match value {
                IDLE => QUEUED | SLOW_PATH,
                CLOSED => return false,
                // Written even if the value stays the same, because this write orders `start` after
                // it.
                other => other | SLOW_PATH,
            };
            match self.value.cmpxchg(value, next, Full) {
                Ok(_) => return value == IDLE,
                Err(changed) => value = changed,
            }
        }
    }

    /// Starts a poll, after the executor has taken the connection out of its queue. Gives the
    /// caller the right to run, unless the connection is closed. Later requests are for the poll
    /// after this one.
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
    /// changes nothing, if a notification or a request has come since the poll began: the caller
    /// must then call [`requeue`](Self::requeue).
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

    /// Returns the phase of the connection. Orders nothing. Any context.
    pub(crate) fn phase(&self) -> Phase {
        match self.value.load(Relaxed) & !SLOW_PATH {
            IDLE => Phase::Idle,
            QUEUED => Phase::Queued,
            CLOSED => Phase::Closed,
            _ => Phase::Running,
        }
    }
}
