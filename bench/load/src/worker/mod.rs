// SPDX-License-Identifier: GPL-2.0

//! A thread of the load generator: one event loop over its share of the connections.

mod answers;
mod open_loop;
mod slots;

use crate::{
    connection::{Connection, Message, Reader},
    http,
    pattern::{Pattern, CHUNK},
    plan::{share, Limit, Plan, Protocol},
    tally::Tally,
};
use mio::{event::Event, Events, Poll, Token};
use open_loop::OpenLoop;
use slots::Slot;
use std::{
    io::ErrorKind,
    ops::Range,
    sync::{
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
        Barrier,
    },
    thread::Thread,
    time::Instant,
};

/// The token of the waker with which the main thread tells that time has passed: a time-out of
/// epoll_wait(2) would cost a timer for every wait.
pub const TICK: Token = Token(usize::MAX);

/// The token of the timer of an open loop.
const TIMER: Token = Token(usize::MAX - 1);

/// Connections that a thread makes at the same time: fewer than any server's backlog, for a
/// connection that finds the backlog full tries again after a second.
const CONNECTING: usize = 32;

/// Events that are taken at once.
const EVENTS: usize = 1024;

/// What the threads have in common.
pub struct Shared {
    pub plan: Plan,
    pub pattern: Pattern,
    /// All times are nanoseconds since then.
    pub base: Instant,
    /// Passed by all when the connections stand, when the load begins, and at the end.
    pub gate: Barrier,
    /// Passed by the threads before each round.
    pub round: Barrier,
    /// When counting begins and ends; set between the two passings of the gate.
    pub counts_from: AtomicU64,
    pub counts_until: AtomicU64,
    /// The user has ended the run.
    pub stop: &'static AtomicBool,
    /// Which of the server's addresses answered last.
    pub address: AtomicUsize,
    /// Threads whose connections stand, and threads that are done.
    pub ready: AtomicU64,
    pub ended: AtomicU64,
    /// For the display only.
    pub connected: AtomicU64,
    pub answered: AtomicU64,
    pub failed: AtomicU64,
}

impl Shared {
    /// Nanoseconds since the base.
    pub fn now(&self) -> u64 {
        self.base.elapsed().as_nanos() as u64
    }
}

enum State {
    /// There is no connection: it failed or is not needed any more.
    Gone,
    /// As `Gone`, but is to be opened again at the next tick.
    Again,
    /// As `Gone`, but is to be opened again for the next message.
    Parted,
    Connecting(Connection),
    Open(Connection),
}

/// One thread's share of the load.
pub struct Worker<'a> {
    shared: &'a Shared,
    index: usize,
    poll: Poll,
    events: Events,
    buffer: Box<[u8; CHUNK]>,
    reader: Reader<'a>,
    slots: Vec<Slot>,
    tally: Tally,
    /// When answers are counted; in an open loop, those to messages that are due then.
    counted: Range<u64>,
    /// The first answer in that time is where counting begins.
    aligns: bool,
    /// Answers that are still to be counted.
    left: u64,
    /// Whether an answer is followed by the next message.
    issuing: bool,
    /// How many messages may still be issued, of those that count.
    quota: u64,
    /// What an open loop needs beside that.
    open_loop: Option<OpenLoop>,
    /// Slots that are `Connecting`.
    connecting: usize,
    /// Messages without an answer.
    under_way: u64,
    /// Answers that the display has not been told of.
    untold: u64,
}

impl<'a> Worker<'a> {
    pub fn new(shared: &'a Shared, index: usize, poll: Poll) -> Self {
        let plan = &shared.plan;
        let part = |total| share(total, plan.threads, index);
        let (idle, active) = (part(plan.idle), part(plan.connections));
        let slots = (0..idle + active).map(|i| Slot::new(i < idle)).collect();
        Self {
            shared,
            index,
            poll,
            events: Events::with_capacity(EVENTS),
            buffer: vec![0; CHUNK]
                .into_boxed_slice()
                .try_into()
                .expect("CHUNK bytes"),
            reader: match plan.protocol {
                Protocol::Echo { verify } => Reader::Echo {
                    size: plan.size,
                    verify: verify.then_some(&shared.pattern),
                },
                Protocol::Http { .. } => Reader::Http(http::Reader::default()),
            },
            slots,
            tally: Tally::new(),
            counted: 0..0,
            aligns: false,
            left: u64::MAX,
            issuing: false,
            quota: 0,
            open_loop: None,
            connecting: 0,
            under_way: 0,
            untold: 0,
        }
    }

    /// Connects, waits for the others, bears its part of the load, and tells what it saw.
    ///
    /// The thread `main` is woken at each of these steps.
    pub fn run(mut self, main: &Thread) -> Tally {
        let plan = &self.shared.plan;
        let idle = 0..share(plan.idle, plan.threads, self.index);
        let active = idle.end..self.slots.len();
        self.connect();
        self.exchange(idle);
        self.shared.ready.fetch_add(1, Relaxed);
        main.unpark();
        self.shared.gate.wait();
        // The main thread says when it begins.
        self.shared.gate.wait();
        self.counted =
            self.shared.counts_from.load(Relaxed)..self.shared.counts_until.load(Relaxed);
        match (plan.limit, plan.rate) {
            (Limit::Rounds(rounds), _) => {
                for _ in 0..rounds {
                    self.shared.round.wait();
                    self.exchange(active.clone());
                }
            }
            (_, Some(rate)) => {
                let registry = self.poll.registry();
                let made = OpenLoop::new(plan, rate, &self.counted, self.index, registry);
                self.open_loop = Some(made.expect("a timer"));
                self.bear(active);
            }
            (Limit::Requests(requests), None) => {
                let requests = share(requests as usize, plan.threads, self.index) as u64;
                if plan.warm_up.is_zero() {
                    self.quota = requests;
                } else {
                    // From an answer to an answer: with the number of connections, or a multiple
                    // of it, that is whole rounds, however unevenly answers come.
                    (self.quota, self.left, self.aligns) = (u64::MAX, requests, true);
                }
                self.bear(active);
            }
            (Limit::Time(_), None) => {
                self.quota = u64::MAX;
                self.bear(active);
            }
        }
        self.close();
        self.tally.first_counted = self.counted.start;
        self.shared.ended.fetch_add(1, Relaxed);
        main.unpark();
        // A thread that ends takes its CPU time with it.
        self.shared.gate.wait();
        self.tally
    }

    // What it does, one after the other

    fn connect(&mut self) {
        let mut next = 0;
        while !self.is_stopped() {
            while self.connecting < CONNECTING && next < self.slots.len() {
                self.open(next);
                next += 1;
            }
            if self.connecting == 0 && next == self.slots.len() {
                break;
            }
            self.pump();
        }
    }

    /// Has each of those connections send one message, and waits for all the answers.
    fn exchange(&mut self, slots: Range<usize>) {
        if self.is_stopped() {
            return;
        }
        let now = self.shared.now();
        for index in slots {
            self.issue(index, 1, Message::new(now));
        }
        self.finish();
        self.tell();
    }

    /// Waits for the answers to what was sent; the ticks see to it that this ends.
    fn finish(&mut self) {
        while self.under_way > 0 && !self.is_stopped() {
            self.pump();
        }
    }

    /// Keeps those connections busy until the limit is reached.
    fn bear(&mut self, slots: Range<usize>) {
        // Of no use, if not a single connection could be made
        self.issuing = self.any_left(&slots);
        if self.open_loop.is_some() {
            return self.follow(slots);
        }
        if !self.issuing {
            return;
        }
        let now = self.shared.now();
        for index in slots.clone() {
            if self.shared.plan.reconnect {
                // The connections at hand were a test of whether any can be made.
                self.open(index);
            } else if !matches!(self.slots[index].state, State::Gone) {
                let count = self.grant(self.shared.plan.depth, now);
                self.issue(index, count, Message::new(now));
            }
        }
        while self.is_bearing(&slots) {
            self.pump();
        }
        self.issuing = false;
        self.finish();
    }

    fn is_bearing(&self, slots: &Range<usize>) -> bool {
        let is_over = !self.has_more() && self.under_way == 0 && self.connecting == 0;
        // Something is under way nearly always, which makes the search for it rare.
        self.issuing
            && !is_over
            && !self.is_stopped()
            && (self.under_way > 0 || self.any_left(slots))
    }

    /// Returns true if there may be a message after those that are under way.
    fn has_more(&self) -> bool {
        match &self.open_loop {
            // A run by time ends with its time, not with the last message.
            Some(open) => self.counted.end < u64::MAX || open.has_more(),
            None => self.quota > 0,
        }
    }

    /// Returns true if one of those connections stands, or may stand again.
    fn any_left(&self, slots: &Range<usize>) -> bool {
        let mut slots = self.slots[slots.clone()].iter();
        slots.any(|slot| !matches!(slot.state, State::Gone))
    }

    fn close(&mut self) {
        for slot in std::mem::take(&mut self.slots) {
            let (is_answered, messages) = slot.into_messages();
            self.abandon(is_answered, messages);
        }
        if let Reader::Http(reader) = &self.reader {
            (self.tally.responses, self.tally.content) = reader.totals();
        }
    }

    fn is_stopped(&self) -> bool {
        self.shared.stop.load(Relaxed)
    }

    // Events

    fn pump(&mut self) {
        // Taken out, for what handles an event may change everything else.
        let mut events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        match self.poll.poll(&mut events, None) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("epoll_wait: {error}"),
        }
        for event in events.iter() {
            match event.token() {
                TICK => self.tick(),
                // It has done what it is for: the thread is awake.
                TIMER => {}
                Token(index) => self.handle(index, event),
            }
        }
        self.events = events;
    }

    fn handle(&mut self, index: usize, event: &Event) {
        let result = match &mut self.slots[index].state {
            State::Open(_) => self.converse(index, event),
            State::Connecting(connection) => match connection.is_open() {
                Ok(true) => self.opened(index),
                Ok(false) => Ok(()),
                Err(failure) => Err(failure),
            },
            State::Gone | State::Again | State::Parted => Ok(()),
        };
        if let Err(failure) = result {
            self.fail(index, failure);
        }
    }

    // Time

    fn tick(&mut self) {
        let now = self.shared.now();
        self.tell();
        if self.counted.end > 0 && now >= self.counted.end {
            self.issuing = false;
        }
        for index in 0..self.slots.len() {
            self.look_after(index, now);
        }
    }

    fn tell(&mut self) {
        self.shared.answered.fetch_add(self.untold, Relaxed);
        self.untold = 0;
    }
}
