// SPDX-License-Identifier: GPL-2.0

//! Answers: a thread counts them, and sends the next messages.

use super::{slots::Parting, Message, State, Worker};
use crate::failure::Failure;
use mio::event::Event;

impl Worker<'_> {
    pub(super) fn converse(&mut self, index: usize, event: &Event) -> Result<(), Failure> {
        let State::Open(connection) = &mut self.slots[index].state else {
            return Ok(());
        };
        if event.is_readable() || event.is_error() {
            let to_the_end = event.is_read_closed() || event.is_error();
            let received = connection.receive(&mut self.buffer, &mut self.reader, to_the_end);
            let is_over = connection.is_over();
            let (count, now) = self.count_answers(index);
            if count > 0 {
                return self.go_on(index, count, now, received, is_over);
            }
            received?;
        }
        // More of what was issued, now that there is room for it
        match &mut self.slots[index].state {
            State::Open(connection) => connection.flush(&self.shared.pattern),
            _ => Ok(()),
        }
    }

    /// Counts the answers that are complete; returns how many those are, and when that was.
    fn count_answers(&mut self, index: usize) -> (u64, u64) {
        let slot = &mut self.slots[index];
        let State::Open(connection) = &mut slot.state else {
            return (0, 0);
        };
        let is_open_loop = self.open_loop.is_some();
        let (mut count, mut now) = (0, 0);
        while let Some(message) = connection.answered() {
            if count == 0 {
                now = self.shared.now();
            }
            count += 1;
            let moment = if is_open_loop { message.due } else { now };
            if slot.is_idle || !self.counted.contains(&moment) {
                continue;
            }
            if self.aligns {
                self.aligns = false;
                self.counted.start = now;
                continue;
            }
            let since = if self.shared.plan.reconnect && !is_open_loop {
                slot.since
            } else {
                message.due
            };
            self.tally.answers.saturating_record(now - since);
            self.tally.answered += 1;
            self.tally.last_answer = now;
            self.untold += 1;
            self.left -= 1;
            if self.left == 0 {
                self.counted.end = now;
            }
        }
        if count > 0 {
            slot.is_answered = true;
            self.under_way -= count;
        }
        (count, now)
    }

    /// Sends the next messages after `count` answers at the time `now`: on the same connection, if
    /// `received` is no error and the server has not said that `is_over`.
    fn go_on(
        &mut self,
        index: usize,
        count: u64,
        now: u64,
        received: Result<(), Failure>,
        is_over: bool,
    ) -> Result<(), Failure> {
        if now >= self.counted.end {
            self.issuing = false;
        }
        if self.slots[index].is_idle {
            // It was to stay open.
            return if is_over {
                Err(Failure::Closed)
            } else {
                received
            };
        }
        if received.is_err_and(|failure| !failure.is_end()) {
            return received;
        }
        if self.shared.plan.reconnect {
            self.renew(index);
            return Ok(());
        }
        let fresh = match &mut self.open_loop {
            Some(open) => {
                open.release(index, count);
                0
            }
            None if self.issuing => self.grant(count, now),
            None => 0,
        };
        let message = Message::new(now);
        self.under_way += fresh;
        let slot = &mut self.slots[index];
        match &mut slot.state {
            State::Open(connection) if received.is_ok() && !is_over => {
                for _ in 0..fresh {
                    connection.issue(self.shared.plan.size, message);
                }
                return connection.flush(&self.shared.pattern);
            }
            _ => slot.wait(fresh, message),
        }
        if is_over {
            self.replace(index, Parting::Announced);
        }
        received
    }

    /// After the only message of a connection: closes it, for the next message to have another.
    fn renew(&mut self, index: usize) {
        match &mut self.open_loop {
            Some(open) => {
                open.release(index, 1);
                self.slots[index].state = State::Parted;
            }
            None if self.issuing => self.open(index),
            None => self.slots[index].state = State::Gone,
        }
    }

    /// How many of `count` messages the quota allows.
    pub(super) fn grant(&mut self, count: u64, now: u64) -> u64 {
        let count = count.min(self.quota);
        if now >= self.counted.start {
            self.quota -= count;
        }
        count
    }
}
