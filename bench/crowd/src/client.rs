// SPDX-License-Identifier: GPL-2.0

//! One client.

use crate::stream::fill;
use mio::net::TcpStream;
use socket2::SockRef;
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr},
    time::Duration,
};

/// How long connecting may take
const PATIENCE: Duration = Duration::from_secs(20);

/// What a client wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// How many bytes it sends
    pub total: u64,
    /// Whether it reads
    pub reads: bool,
    /// Whether it says that it has sent its last byte, and then reads up to the server's last
    pub half_closes: bool,
}

impl Plan {
    /// Sends so many bytes, and reads them.
    pub fn echo(total: u64) -> Self {
        Self {
            total,
            reads: true,
            half_closes: false,
        }
    }
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Open,
    /// All that was sent has come back, and the end if that was planned.
    Complete,
    /// The connection has ended before that.
    Broken,
    /// Something came that was not sent.
    Corrupt,
}

/// Room for what is sent and received.
pub struct Space {
    buffer: Vec<u8>,
    expected: Vec<u8>,
}

impl Space {
    pub fn new() -> Self {
        Self {
            buffer: vec![0; 1 << 16],
            expected: vec![0; 1 << 16],
        }
    }
}

/// A client, which is to [`advance`](Self::advance) whenever its stream has become ready.
pub struct Client {
    pub stream: TcpStream,
    pub plan: Plan,
    pub sent: u64,
    pub received: u64,
    pub state: State,
    seed: u64,
}

impl Client {
    /// Waits until it is connected.
    pub fn connect(addr: SocketAddr, seed: u64, plan: Plan) -> io::Result<Self> {
        let stream = std::net::TcpStream::connect_timeout(&addr, PATIENCE)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: TcpStream::from_std(stream),
            plan,
            sent: 0,
            received: 0,
            state: State::Open,
            seed,
        })
    }

    /// Does what can be done without waiting.
    pub fn advance(&mut self, space: &mut Space) {
        if self.state != State::Open {
            return;
        }
        let mut moved = self.push(&mut space.buffer);
        if self.plan.reads {
            // What was sent back before an error is looked at all the same.
            let pulled = self.pull(space);
            moved = moved.and(pulled);
        }
        if moved.is_err() && self.state == State::Open {
            self.state = State::Broken;
        }
    }

    /// Sends as much as goes.
    fn push(&mut self, buffer: &mut [u8]) -> io::Result<()> {
        while self.sent < self.plan.total {
            let count = (self.plan.total - self.sent).min(buffer.len() as u64) as usize;
            fill(self.seed, self.sent, &mut buffer[..count]);
            match self.stream.write(&buffer[..count]) {
                Ok(count) => self.sent += count as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            if self.sent == self.plan.total && self.plan.half_closes {
                self.stream.shutdown(Shutdown::Write)?;
            }
        }
        Ok(())
    }

    /// Reads as much as is there, and compares it.
    fn pull(&mut self, space: &mut Space) -> io::Result<()> {
        loop {
            match self.stream.read(&mut space.buffer) {
                Ok(0) => {
                    let is_whole = self.plan.half_closes && self.received == self.plan.total;
                    // Who has all that it wanted does not mind the end.
                    self.state = match self.state {
                        State::Open if is_whole => State::Complete,
                        State::Open => State::Broken,
                        reached => reached,
                    };
                    return Ok(());
                }
                Ok(count) => {
                    let expected = &mut space.expected[..count];
                    fill(self.seed, self.received, expected);
                    self.received += count as u64;
                    if self.received > self.sent || space.buffer[..count] != *expected {
                        self.state = State::Corrupt;
                        return Ok(());
                    }
                    if self.received == self.plan.total && !self.plan.half_closes {
                        self.state = State::Complete;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Has the connection reset when it is closed.
    pub fn reset_on_close(&self) -> io::Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        net::{Ipv4Addr, TcpListener},
        thread,
        time::Instant,
    };

    /// What becomes of a client whose server answers its 1,000 bytes so.
    fn end_of(plan: Plan, answer: fn(&mut Vec<u8>)) -> State {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let addr = listener.local_addr().expect("it is bound");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut bytes = vec![0; 1000];
            stream.read_exact(&mut bytes).expect("what it sends");
            answer(&mut bytes);
            stream.write_all(&bytes).expect("it listens");
        });
        let mut client = Client::connect(addr, 3, plan).expect("somebody listens");
        let mut space = Space::new();
        let started = Instant::now();
        while client.state == State::Open && started.elapsed() < PATIENCE {
            client.advance(&mut space);
            thread::sleep(Duration::from_millis(1));
        }
        server.join().expect("it was asked for nothing strange");
        client.state
    }

    #[test]
    fn what_comes_back_is_compared() {
        let closing = Plan {
            half_closes: true,
            ..Plan::echo(1000)
        };
        for plan in [Plan::echo(1000), closing] {
            assert_eq!(end_of(plan, |_| {}), State::Complete, "{plan:?}");
            assert_eq!(
                end_of(plan, |bytes| bytes[999] ^= 1),
                State::Corrupt,
                "{plan:?}"
            );
            assert_eq!(
                end_of(plan, |bytes| bytes.truncate(999)),
                State::Broken,
                "{plan:?}"
            );
        }
        assert_eq!(end_of(closing, |bytes| bytes.push(0)), State::Corrupt);
    }
}
