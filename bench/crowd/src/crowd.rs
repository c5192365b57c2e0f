// SPDX-License-Identifier: GPL-2.0

//! Many clients.

use crate::{
    client::{Client, Plan, Space, State},
    Options,
};
use anyhow::Result;
use fastrand::Rng;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;
use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    time::{Duration, Instant},
};

/// All clients, by their numbers.
pub struct Crowd {
    pub clients: Slab<Client>,
    pub random: Rng,
    poll: Poll,
    events: Events,
    space: Space,
    addrs: Vec<SocketAddr>,
    connected: usize,
    deadline: Instant,
    until: Option<PathBuf>,
}

impl Crowd {
    pub fn new(options: &Options) -> Result<Self> {
        Ok(Self {
            clients: Slab::new(),
            random: Rng::with_seed(options.seed),
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            space: Space::new(),
            addrs: options.addr.clone(),
            connected: 0,
            deadline: Instant::now() + Duration::try_from_secs_f64(options.seconds)?,
            until: options.until.clone(),
        })
    }

    /// Whether it is to end.
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.deadline || self.until.as_ref().is_some_and(|file| file.exists())
    }

    /// Where the next client is to connect to.
    pub fn next_addr(&mut self) -> SocketAddr {
        self.connected += 1;
        self.addrs[self.connected % self.addrs.len()]
    }

    /// Connects one more client, which does at once what it can do without waiting.
    pub fn connect(&mut self, plan: Plan) -> io::Result<()> {
        let (addr, seed) = (self.next_addr(), self.random.u64(..));
        let mut client = Client::connect(addr, seed, plan)?;
        let entry = self.clients.vacant_entry();
        self.poll.registry().register(
            &mut client.stream,
            Token(entry.key()),
            Interest::READABLE | Interest::WRITABLE,
        )?;
        client.advance(&mut self.space);
        entry.insert(client);
        Ok(())
    }

    /// Waits for at most that long, and does what is to be done for those that are ready.
    pub fn turn(&mut self, most: Duration) -> io::Result<()> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        match self.poll.poll(&mut self.events, Some(most.min(left))) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &self.events {
            // Of one that has gone meanwhile there may still be an event.
            if let Some(client) = self.clients.get_mut(event.token().0) {
                client.advance(&mut self.space);
            }
        }
        Ok(())
    }

    /// Turns until no client is on its way any more, or until time is up.
    pub fn finish(&mut self) -> io::Result<()> {
        while self.count(State::Open) > 0 && !self.is_over() {
            self.turn(Duration::from_millis(200))?;
        }
        Ok(())
    }

    pub fn count(&self, state: State) -> u64 {
        let found = self
            .clients
            .iter()
            .filter(|(_, client)| client.state == state);
        found.count() as u64
    }

    /// Connects `count` clients, and lets each have `bytes` back.
    pub fn gather(&mut self, count: usize, bytes: u64) -> io::Result<()> {
        for number in 0..count {
            self.connect(Plan::echo(bytes))?;
            if number % 64 == 0 {
                self.turn(Duration::ZERO)?;
            }
            if self.is_over() {
                break;
            }
        }
        self.finish()
    }

    /// Has all that are complete send `bytes` more, or wait for whatever may come if that is 0.
    pub fn go_on(&mut self, bytes: u64) {
        for (_, client) in &mut self.clients {
            if client.state == State::Complete {
                client.plan.total += bytes;
                client.state = State::Open;
                client.advance(&mut self.space);
            }
        }
    }
}
