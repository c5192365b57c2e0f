// SPDX-License-Identifier: GPL-2.0

//! A server that waits with epoll(7), in the way that its manual page recommends for speed:
//! edge-triggered, each connection registered once, and a short read taken as the end of what is
//! there. An echo costs a read, a write, and its part of an epoll_wait.

use anyhow::Result;
use mio::{
    event::Event,
    net::{TcpListener, TcpStream},
    Events, Interest, Poll, Token,
};
use slab::Slab;
use std::{
    io::{ErrorKind, Read, Write},
    net::TcpListener as StdListener,
};

const LISTENER: Token = Token(usize::MAX);
const EVENTS: usize = 1024;
const BUFFER: usize = 256 << 10;

struct Connection {
    stream: TcpStream,
    /// What was read and not yet written, from `start` on; empty most of the time.
    left: Vec<u8>,
    start: usize,
}

/// What is next for a connection.
#[derive(PartialEq, Eq)]
enum Next {
    Wait,
    Close,
}

/// Serves for ever.
pub fn serve(listener: StdListener) -> Result<()> {
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(EVENTS);
    let mut connections: Slab<Connection> = Slab::new();
    let mut buffer = vec![0; BUFFER];
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            if event.token() == LISTENER {
                accept(&listener, &poll, &mut connections)?;
                continue;
            }
            let Token(index) = event.token();
            if connections[index].handle(event, &mut buffer) == Next::Close {
                connections.remove(index);
            }
        }
    }
}

fn accept(listener: &TcpListener, poll: &Poll, connections: &mut Slab<Connection>) -> Result<()> {
    loop {
        match listener.accept() {
            Ok((mut stream, _)) => {
                let entry = connections.vacant_entry();
                let interest = Interest::READABLE | Interest::WRITABLE;
                poll.registry()
                    .register(&mut stream, Token(entry.key()), interest)?;
                entry.insert(Connection {
                    stream,
                    left: Vec::new(),
                    start: 0,
                });
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            // The client has gone already.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl Connection {
    fn handle(&mut self, event: &Event, buffer: &mut [u8]) -> Next {
        match self.echo(event, buffer) {
            Ok(next) => next,
            Err(error) if error.kind() == ErrorKind::WouldBlock => Next::Wait,
            Err(_) => Next::Close,
        }
    }

    fn echo(&mut self, event: &Event, buffer: &mut [u8]) -> std::io::Result<Next> {
        let had_left = !self.left.is_empty();
        if had_left {
            self.start += write(&mut self.stream, &self.left[self.start..])?;
            if self.start < self.left.len() {
                return Ok(Next::Wait);
            }
            self.left.clear();
            self.start = 0;
        }
        // What came while there was something left is not told again.
        let to_the_end = had_left || event.is_read_closed() || event.is_error();
        loop {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Ok(Next::Close),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            let written = write(&mut self.stream, &buffer[..count])?;
            if written < count {
                self.left.extend_from_slice(&buffer[written..count]);
                return Ok(Next::Wait);
            }
            if count < buffer.len() && !to_the_end {
                return Ok(Next::Wait);
            }
        }
    }
}

/// Writes as much as the socket takes.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}
