// SPDX-License-Identifier: GPL-2.0

//! The places of a thread's connections: how one is made, fails, and is replaced.

use super::{Message, State, Worker};
use crate::{connection::Connection, failure::Failure};
use mio::Token;
use std::{collections::VecDeque, sync::atomic::Ordering::Relaxed};

/// How a server ended a connection on which it had answered.
#[derive(Clone, Copy)]
pub enum Parting {
    Announced,
    Unannounced,
}

/// The place of a connection.
pub struct Slot {
    pub state: State,
    /// When it began to connect.
    pub since: u64,
    /// The address that it connects to, and how many it has tried.
    address: usize,
    tried: usize,
    /// Messages that are sent as soon as the connection stands.
    waiting: VecDeque<Message>,
    /// The next connection takes the place of one that was closed so.
    replaces: Option<Parting>,
    /// A message was answered here.
    pub is_answered: bool,
    pub is_idle: bool,
}

impl Slot {
    pub fn new(is_idle: bool) -> Self {
        Self {
            state: State::Gone,
            since: 0,
            address: 0,
            tried: 0,
            waiting: VecDeque::new(),
            replaces: None,
            is_answered: false,
            is_idle,
        }
    }

    /// The messages without an answer, whether they were sent or not.
    pub fn into_messages(self) -> (bool, VecDeque<Message>) {
        let mut messages = match self.state {
            State::Open(mut connection) => connection.take_issued(),
            _ => VecDeque::new(),
        };
        messages.extend(self.waiting);
        (self.is_answered, messages)
    }
}

impl Worker<'_> {
    /// Begins to make the connection of a slot.
    pub(super) fn open(&mut self, index: usize) {
        let now = self.shared.now();
        if self.is_to_ask_at_once(index) && self.grant(1, now) == 0 {
            self.slots[index].state = State::Gone;
            return;
        }
        let slot = &mut self.slots[index];
        slot.address = self.shared.address.load(Relaxed);
        slot.tried = 0;
        self.dial(index);
    }

    /// Returns true if the connection is to be made for a new message, with `--reconnect`.
    fn is_to_ask_at_once(&self, index: usize) -> bool {
        let is_mode = self.shared.plan.reconnect && self.open_loop.is_none();
        is_mode && self.issuing && !self.slots[index].is_idle
    }

    /// Tries the slot's address.
    fn dial(&mut self, index: usize) {
        let plan = &self.shared.plan;
        let number = index * plan.threads + self.index;
        let from = match plan.from.len() {
            0 => None,
            count => Some(plan.from[number % count]),
        };
        let origin = self.shared.pattern.origin(index);
        let now = self.shared.now();
        let slot = &mut self.slots[index];
        // A socket that is closed is not watched any more.
        slot.state = State::Gone;
        slot.since = now;
        slot.tried += 1;
        let to = plan.to[slot.address];
        match Connection::open(to, from, self.poll.registry(), Token(index), origin) {
            Ok(connection) => {
                slot.state = State::Connecting(connection);
                self.connecting += 1;
            }
            Err(failure) => self.not_made(index, failure),
        }
    }

    pub(super) fn opened(&mut self, index: usize) -> Result<(), Failure> {
        let now = self.shared.now();
        let asks = self.is_to_ask_at_once(index);
        let slot = &mut self.slots[index];
        let State::Connecting(mut connection) = std::mem::replace(&mut slot.state, State::Gone)
        else {
            return Ok(());
        };
        self.connecting -= 1;
        self.shared.address.store(slot.address, Relaxed);
        let replaces = slot.replaces.take();
        if self.counted.end == 0 || self.counted.contains(&now) {
            self.tally.connects.saturating_record(now - slot.since);
            match replaces {
                Some(Parting::Announced) => self.tally.reconnects.announced += 1,
                Some(Parting::Unannounced) => self.tally.reconnects.unannounced += 1,
                None => {}
            }
        }
        self.shared.connected.fetch_add(1, Relaxed);
        if asks {
            slot.waiting.push_back(Message::new(now));
            self.under_way += 1;
        }
        for message in slot.waiting.drain(..) {
            connection.issue(self.shared.plan.size, message);
        }
        let flushed = connection.flush(&self.shared.pattern);
        slot.state = State::Open(connection);
        flushed
    }

    /// Sends `count` messages, or has them wait until the connection stands.
    pub(super) fn issue(&mut self, index: usize, count: u64, message: Message) {
        let slot = &mut self.slots[index];
        let mut flushed = Ok(());
        match &mut slot.state {
            State::Gone => return,
            State::Open(connection) => {
                for _ in 0..count {
                    connection.issue(self.shared.plan.size, message);
                }
                flushed = connection.flush(&self.shared.pattern);
            }
            State::Connecting(_) | State::Again | State::Parted => slot.wait(count, message),
        }
        self.under_way += count;
        if matches!(slot.state, State::Parted) && count > 0 {
            self.open(index);
        }
        if let Err(failure) = flushed {
            self.fail(index, failure);
        }
    }

    /// A slot's connection has come to a bad end, or could not be made.
    pub(super) fn fail(&mut self, index: usize, failure: Failure) {
        let slot = &mut self.slots[index];
        match &mut slot.state {
            State::Open(connection) => {
                let has_answered = connection.has_answered();
                let is_fault = !(failure.is_end() && connection.may_be_closed(&self.reader));
                let is_replaced = failure.is_end()
                    && slot.is_answered
                    && !slot.is_idle
                    && !self.shared.plan.reconnect;
                if is_fault || !is_replaced {
                    self.tally.failures.count(failure);
                    self.shared.failed.fetch_add(1, Relaxed);
                }
                match (is_replaced, has_answered) {
                    (true, true) => self.replace(index, Parting::Unannounced),
                    (true, false) => self.put_off(index),
                    (false, _) => self.give_up(index),
                }
            }
            State::Connecting(_) => {
                self.connecting -= 1;
                self.not_made(index, failure);
            }
            State::Gone | State::Again | State::Parted => self.not_made(index, failure),
        }
    }

    /// The address of a slot does not answer: tries the next one, if there is any.
    fn not_made(&mut self, index: usize, failure: Failure) {
        let addresses = self.shared.plan.to.len();
        let slot = &mut self.slots[index];
        if slot.tried < addresses && !self.shared.stop.load(Relaxed) {
            slot.address = (slot.address + 1) % addresses;
            return self.dial(index);
        }
        self.tally.not_connected.count(failure);
        self.shared.failed.fetch_add(1, Relaxed);
        if slot.replaces.is_some() && (self.issuing || !slot.waiting.is_empty()) {
            slot.state = State::Again;
        } else {
            self.give_up(index);
        }
    }

    /// Closes a connection that answers nothing more; what it has not answered is sent on another one.
    pub(super) fn replace(&mut self, index: usize, parting: Parting) {
        let slot = &mut self.slots[index];
        slot.recall();
        slot.replaces = Some(parting);
        slot.state = State::Parted;
        if !slot.waiting.is_empty() {
            self.open(index);
        }
    }

    /// Opens another connection at the next tick: at once would be again and again.
    fn put_off(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.recall();
        slot.replaces = Some(Parting::Unannounced);
        slot.state = State::Again;
    }

    /// Does without the connection of a slot, unless each message has one of its own.
    fn give_up(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        slot.recall();
        slot.replaces = None;
        let messages = std::mem::take(&mut slot.waiting);
        let is_another = self.issuing && self.shared.plan.reconnect && !slot.is_idle;
        slot.state = match &mut self.open_loop {
            _ if !is_another => State::Gone,
            None => State::Again,
            Some(open) => {
                open.release(index, 1);
                State::Parted
            }
        };
        let is_answered = slot.is_answered;
        self.under_way -= messages.len() as u64;
        self.abandon(is_answered, messages);
    }

    /// Counts messages that get no answer any more.
    pub(super) fn abandon(&mut self, is_answered: bool, messages: VecDeque<Message>) {
        self.tally.starved += u64::from(!is_answered && !messages.is_empty());
        self.tally.unanswered += messages.len() as u64;
        if self.open_loop.is_none() {
            return;
        }
        let now = self.shared.now();
        for message in messages {
            if self.counted.contains(&message.due) {
                self.tally.answers.saturating_record(now - message.due);
            }
        }
    }

    /// Looks after a slot whose time may have run out.
    pub(super) fn look_after(&mut self, index: usize, now: u64) {
        let limit = self.shared.plan.timeout.as_nanos() as u64;
        let slot = &self.slots[index];
        let oldest = slot.waiting.front().map(|message| message.sent);
        let since = match &slot.state {
            State::Gone | State::Parted => return,
            State::Again => oldest,
            State::Connecting(_) => Some(slot.since),
            State::Open(connection) => connection.oldest(),
        };
        let is_late = since.is_some_and(|since| now.saturating_sub(since) > limit);
        match &slot.state {
            State::Again if is_late => {
                self.tally.not_connected.count(Failure::TimedOut);
                self.give_up(index);
            }
            State::Again if self.issuing || oldest.is_some() => self.open(index),
            State::Again => self.slots[index].state = State::Gone,
            _ if is_late => self.fail(index, Failure::TimedOut),
            _ => {}
        }
    }
}

impl Slot {
    /// Keeps `count` messages for the next connection.
    pub fn wait(&mut self, count: u64, message: Message) {
        self.waiting
            .extend(std::iter::repeat_n(message, count as usize));
    }

    /// Takes back what the connection has not answered.
    fn recall(&mut self) {
        if let State::Open(connection) = &mut self.state {
            let mut messages = connection.take_issued();
            messages.append(&mut self.waiting);
            self.waiting = messages;
        }
    }
}
