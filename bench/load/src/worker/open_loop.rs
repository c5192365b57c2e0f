// SPDX-License-Identifier: GPL-2.0

//! The open loop: messages are sent by the clock, whatever the server does.
//!
//! A message that is due while every connection waits for an answer is sent when one of them is free,
//! and its latency counts from when it was due. A closed loop would have asked less meanwhile, and
//! its quantiles would lack what clients of a paused server wait for: coordinated omission, as Gil
//! Tene, the author of HdrHistogram, calls it.

use super::{Message, State, Worker, TIMER};
use crate::{
    plan::{Limit, Plan},
    schedule::Schedule,
};
use mio::{unix::SourceFd, Interest, Registry};
use rustix::time::{
    timerfd_create, timerfd_settime, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags,
    Timespec,
};
use std::{
    collections::VecDeque,
    io,
    ops::Range,
    os::fd::{AsRawFd, OwnedFd},
};

/// How long messages are still sent after the end that were due before it, in nanoseconds: one that
/// was due in the last moment is not unsent.
const GRACE: u64 = 1_000_000_000;

/// What a thread of an open loop needs beside its connections.
pub struct OpenLoop {
    schedule: Schedule,
    /// The connections by the messages that they can take, those first that had an answer first. One
    /// that has failed meanwhile may still be in it.
    free: VecDeque<usize>,
    /// Wakes the thread; a time-out of epoll_wait(2) has milliseconds only.
    timer: OwnedFd,
    /// The time for which the timer is set.
    armed: u64,
}

impl OpenLoop {
    /// `counted` is the time in which messages that are due are counted.
    pub fn new(
        plan: &Plan,
        rate: f64,
        counted: &Range<u64>,
        index: usize,
        registry: &Registry,
    ) -> io::Result<Self> {
        let count = match plan.limit {
            Limit::Requests(requests) => requests,
            _ => Schedule::count_in(rate, counted.end - counted.start),
        };
        let warm_up = plan.warm_up.as_nanos() as u64;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        registry.register(&mut SourceFd(&timer.as_raw_fd()), TIMER, Interest::READABLE)?;
        Ok(Self {
            schedule: Schedule::new(rate, counted.start, warm_up, count, index, plan.threads),
            free: VecDeque::new(),
            timer,
            armed: 0,
        })
    }

    /// Returns true if messages are left.
    pub fn has_more(&self) -> bool {
        self.schedule.peek().is_some()
    }

    /// The connection can take `count` messages more.
    pub fn release(&mut self, index: usize, count: u64) {
        self.free.extend(std::iter::repeat_n(index, count as usize));
    }

    /// Sets the timer for the next message, if a connection is free to take it. A new setting takes
    /// back an expiry that was not seen.
    fn arm(&mut self, now: u64) -> io::Result<()> {
        let Some(due) = self.schedule.peek().filter(|_| !self.free.is_empty()) else {
            return Ok(());
        };
        if due == self.armed {
            return Ok(());
        }
        self.armed = due;
        // Zero would stop the timer.
        let left = due.saturating_sub(now).max(1);
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let setting = Itimerspec {
            it_interval: zero,
            it_value: Timespec {
                tv_sec: (left / 1_000_000_000) as i64,
                tv_nsec: (left % 1_000_000_000) as i64,
            },
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &setting)?;
        Ok(())
    }
}

impl Worker<'_> {
    /// Sends what is due until the limit is reached, and waits for the answers.
    pub(super) fn follow(&mut self, slots: Range<usize>) {
        let depth = self.shared.plan.depth;
        let Some(open) = &mut self.open_loop else {
            return;
        };
        for index in slots.clone() {
            open.release(index, depth);
        }
        while self.is_bearing(&slots) {
            self.dispatch();
            self.arm();
            self.pump();
        }
        self.issuing = false;
        let end = self.shared.now().saturating_add(GRACE);
        while self.has_backlog(&slots) && !self.is_stopped() && self.shared.now() < end {
            self.dispatch();
            self.pump();
        }
        self.finish();
        self.count_unsent();
    }

    fn has_backlog(&self, slots: &Range<usize>) -> bool {
        self.open_loop.as_ref().is_some_and(OpenLoop::has_more) && self.any_left(slots)
    }

    /// Sends what is due, as far as there are connections to take it.
    fn dispatch(&mut self) {
        let now = self.shared.now();
        while let Some(open) = &mut self.open_loop {
            let Some(due) = open.schedule.peek().filter(|due| *due <= now) else {
                break;
            };
            let Some(index) = open.free.pop_front() else {
                break;
            };
            if matches!(self.slots[index].state, State::Gone) {
                continue;
            }
            open.schedule.advance();
            self.issue(index, 1, Message { due, sent: now });
        }
    }

    fn arm(&mut self) {
        let now = self.shared.now();
        if let Some(open) = &mut self.open_loop {
            open.arm(now).expect("a timer of this process, and a time");
        }
    }

    /// Counts what was due and not sent; it has waited until now.
    fn count_unsent(&mut self) {
        let now = self.shared.now();
        let Some(open) = &self.open_loop else {
            return;
        };
        self.tally.unsent += open.schedule.left(now);
        let answers = &mut self.tally.answers;
        open.schedule.waits(now, |wait, count| {
            answers.saturating_record_n(wait, count);
        });
    }
}
