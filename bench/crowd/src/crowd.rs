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
    /// Connections made
    pub connections: u64,
    /// Received bytes that were compared with those sent
    pub compared: u64,
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
            connections: 0,
            compared: 0,
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
        self.connections += 1;
        self.compared += client.received;
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
                let before = client.received;
                client.advance(&mut self.space);
                self.compared += client.received - before;
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
                let before = client.received;
                client.advance(&mut self.space);
                self.compared += client.received - before;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::{Ipv4Addr, TcpListener},
        thread,
    };

    /// A crowd, and the thread of a server that sends back the bytes of that many clients in turn.
    fn crowd_and_server(clients: usize) -> (Crowd, thread::JoinHandle<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let options = Options {
            addr: vec![listener.local_addr().expect("it is bound")],
            seconds: 20.0,
            seed: 1,
            until: None,
        };
        let server = thread::spawn(move || {
            let accept = |_| listener.accept().expect("a client").0;
            let mut streams: Vec<_> = (0..clients).map(accept).collect();
            let mut bytes = [0; 100];
            while !streams.is_empty() {
                streams.retain_mut(|stream| {
                    let count = stream.read(&mut bytes).unwrap_or(0);
                    count > 0 && stream.write_all(&bytes[..count]).is_ok()
                });
            }
        });
        (Crowd::new(&options).expect("a poll"), server)
    }

    #[test]
    fn clients_and_bytes_that_came_back_are_counted() {
        let (mut crowd, server) = crowd_and_server(1);
        crowd.gather(1, 10).expect("an answer");
        assert_eq!((crowd.connections, crowd.compared), (1, 10));
        crowd.go_on(90);
        crowd.finish().expect("an answer");
        assert_eq!((crowd.connections, crowd.compared), (1, 100));
        // The client that leaves stays counted.
        crowd.clients.clear();
        assert_eq!((crowd.connections, crowd.compared), (1, 100));
        server.join().expect("it was asked for nothing strange");
    }

    #[test]
    fn refused_client_is_not_counted() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let (mut crowd, server) = crowd_and_server(0);
        server.join().expect("it has no client");
        crowd.addrs = vec![listener.local_addr().expect("it is bound")];
        drop(listener);
        assert!(crowd.connect(Plan::echo(1)).is_err());
        assert_eq!((crowd.connections, crowd.compared), (0, 0));
    }
}
