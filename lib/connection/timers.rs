// SPDX-License-Identifier: GPL-2.0

//! Timeouts of a connection.
//!
//! One thread of the server advances a clock of ticks, so that to note the time costs a connection one
//! store.

use crate::{
    handler::CloseReason,
    util::compat::millis_ceil, //
};
use kernel::{
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::Delta, //
};

/// The timeouts of a server; `None` is off.
#[derive(Clone, Copy, Default)]
pub(crate) struct Timeouts {
    pub(crate) idle: Option<Delta>,
    pub(crate) receive: Option<Delta>,
    pub(crate) send: Option<Delta>,
}

impl Timeouts {
    pub(crate) fn are_any(&self) -> bool {
        self.shortest().is_some()
    }

    fn shortest(&self) -> Option<i64> {
        let all = [self.idle, self.receive, self.send].into_iter().flatten();
        all.map(millis_ceil).min()
    }
}

/// The clock of a server.
pub(crate) struct Clock {
    tick_millis: u32,
    /// Never 0.
    now: Atomic<u32>,
}

impl Clock {
    const SHORTEST_TICK: i64 = 10;
    const LONGEST_TICK: i64 = 1000;

    /// Creates a clock whose tick is an eighth of the shortest of `timeouts`, within the limits
    /// above.
    pub(crate) fn new(timeouts: &Timeouts) -> Self {
        let tick = timeouts.shortest().unwrap_or(i64::MAX) / 8;
        let tick = tick.clamp(Self::SHORTEST_TICK, Self::LONGEST_TICK);
        Self {
            tick_millis: tick as u32,
            now: Atomic::new(1),
        }
    }

    /// Returns the length of a tick.
    pub(crate) fn tick(&self) -> Delta {
        Delta::from_millis(self.tick_millis.into())
    }

    #[inline]
    pub(crate) fn now(&self) -> u32 {
        self.now.load(Relaxed)
    }

    fn millis_since(&self, then: u32) -> u64 {
        u64::from(self.now().wrapping_sub(then)) * u64::from(self.tick_millis)
    }

    /// Advances the clock by one tick.
    pub(crate) fn advance(&self) {
        self.now.store(self.now().wrapping_add(1).max(1), Relaxed);
    }
}

/// Record of the bytes that a poll has moved, and of those that it has left in the buffers.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pending {
    /// Bytes were received.
    pub(crate) received: bool,
    /// The handler has consumed bytes.
    pub(crate) consumed: bool,
    /// Bytes were sent.
    pub(crate) sent: bool,
    /// There is input that the handler has not consumed.
    pub(crate) input: bool,
    /// There is output that the peer has not taken.
    pub(crate) output: bool,
}

/// Times at which the timeouts of a connection began to run; 0 for a timeout that does not run.
pub(crate) struct Timers {
    idle: Atomic<u32>,
    receive: Atomic<u32>,
    send: Atomic<u32>,
    /// Time of the last tick that saw an acknowledgement from the peer. Never 0. Separate from the
    /// others because polls write those: a tick that wrote them could restart a timeout that a poll
    /// has stopped.
    acked: Atomic<u32>,
}

/// Sets a timer, but writes it only if its value changes: a write would take the cache line away
/// from the other CPUs that hold it.
#[inline]
fn set(timer: &Atomic<u32>, value: u32) {
    if timer.load(Relaxed) != value {
        timer.store(value, Relaxed);
    }
}

/// Starts a timer that does not run, restarts it if `anew`, and stops it unless `running`.
#[inline]
fn run(timer: &Atomic<u32>, now: u32, running: bool, anew: bool) {
    match (running, anew) {
        (false, _) => set(timer, 0),
        (true, true) => set(timer, now),
        (true, false) if timer.load(Relaxed) == 0 => set(timer, now),
        (true, false) => {}
    }
}

impl Timers {
    pub(crate) fn new(now: u32) -> Self {
        Self {
            idle: Atomic::new(now),
            receive: Atomic::new(0),
            send: Atomic::new(0),
            acked: Atomic::new(now),
        }
    }

    /// Updates the timers after a poll that ends at `now`.
    #[inline]
    pub(crate) fn note(&self, now: u32, pending: Pending) {
        run(&self.idle, now, true, pending.received || pending.sent);
        run(&self.receive, now, pending.input, pending.consumed);
        run(&self.send, now, pending.output, pending.sent);
    }

    /// Records at the tick `now` that the peer has acknowledged bytes since the last tick. A peer
    /// that takes bytes from the socket, even slowly, is not idle.
    pub(crate) fn note_acked(&self, now: u32) {
        set(&self.acked, now.wrapping_sub(1).max(1));
    }

    /// Returns the time without an acknowledgement from the peer, as
    /// [`idle_millis`](Self::idle_millis) does.
    fn unacked_millis(&self, clock: &Clock) -> u64 {
        clock.millis_since(self.acked.load(Relaxed))
    }

    /// Returns the time in which no byte has moved, in milliseconds and to the tick of the clock.
    pub(crate) fn idle_millis(&self, clock: &Clock) -> u64 {
        let idle = clock.millis_since(self.idle.load(Relaxed));
        idle.min(self.unacked_millis(clock))
    }

    /// Returns the timeout that has passed, if any.
    pub(crate) fn expired(&self, clock: &Clock, timeouts: &Timeouts) -> Option<CloseReason> {
        let unacked = self.unacked_millis(clock);
        let passed = |timer: &Atomic<u32>, at_most: u64, timeout: Option<Delta>| {
            let since = timer.load(Relaxed);
            // The timer may have started in the middle of a tick: that tick does not count.
            let whole = clock
                .millis_since(since)
                .min(at_most)
                .saturating_sub(clock.tick_millis.into());
            since != 0 && timeout.is_some_and(|timeout| whole as i64 >= millis_ceil(timeout))
        };
        if passed(&self.send, unacked, timeouts.send) {
            Some(CloseReason::SendTimeout)
        } else if passed(&self.receive, u64::MAX, timeouts.receive) {
            Some(CloseReason::ReceiveTimeout)
        } else if passed(&self.idle, unacked, timeouts.idle) {
            Some(CloseReason::Idle)
        } else {
            None
        }
    }
}
