// SPDX-License-Identifier: GPL-2.0

//! One connection of the load: sends messages and takes what comes back.

use crate::{
    failure::Failure,
    http,
    pattern::{Pattern, CHUNK},
};
use mio::{net::TcpStream, Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};
use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::{IpAddr, SocketAddr},
};

/// Understands what comes back.
pub enum Reader<'a> {
    /// Messages of `size` bytes that come back; compared with the pattern, if there is one.
    Echo {
        size: u64,
        verify: Option<&'a Pattern>,
    },
    Http(http::Reader),
}

/// A message that has no answer yet. Times are nanoseconds since the base of the run.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// The time from which its latency counts: that of the schedule, or when it was sent.
    pub due: u64,
    /// When it was first handed to a connection.
    pub sent: u64,
}

impl Message {
    /// One that is due when it is sent.
    pub fn new(now: u64) -> Self {
        Self {
            due: now,
            sent: now,
        }
    }
}

/// A connection that is being made, or is open.
///
/// Readiness is told once for each change (edge-triggered), so both directions are watched from
/// the beginning at no cost.
pub struct Connection {
    stream: TcpStream,
    /// Where in the pattern its stream begins.
    origin: u64,
    /// Counts of bytes since the beginning.
    sent: u64,
    received: u64,
    /// Bytes that may be sent before an answer has to come.
    granted: u64,
    /// The messages whose answers are not complete.
    issued: VecDeque<Message>,
    /// Answers that are complete and have not been told yet.
    complete: u64,
    /// Is true from the first answer on.
    has_answered: bool,
    /// Bytes of the echo that is not complete.
    partial: u64,
    /// Where we are in responses.
    place: http::Place,
}

impl Connection {
    /// Begins to connect; the token's readiness to write tells how that ended.
    pub fn open(
        to: SocketAddr,
        from: Option<IpAddr>,
        registry: &Registry,
        token: Token,
        origin: u64,
    ) -> Result<Self, Failure> {
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(address) = from {
            let mut local = SocketAddr::new(address, 0);
            if let (SocketAddr::V6(local), SocketAddr::V6(to)) = (&mut local, &to) {
                local.set_scope_id(to.scope_id());
            }
            socket.bind(&local.into())?;
        }
        match socket.connect(&to.into()) {
            Ok(()) => {}
            Err(error) if is_in_progress(&error) => {}
            Err(error) => return Err(error.into()),
        }
        let mut stream = TcpStream::from_std(socket.into());
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Self {
            stream,
            origin,
            sent: 0,
            received: 0,
            granted: 0,
            issued: VecDeque::new(),
            complete: 0,
            has_answered: false,
            partial: 0,
            place: http::Place::default(),
        })
    }

    /// Whether the connection stands by now.
    pub fn is_open(&self) -> Result<bool, Failure> {
        if let Some(error) = self.stream.take_error()? {
            return Err(error.into());
        }
        match self.stream.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// When the oldest message was sent that is not answered.
    pub fn oldest(&self) -> Option<u64> {
        self.issued.front().map(|message| message.sent)
    }

    /// Returns true if a message was answered on this connection.
    pub fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// Returns true if the server has said that it answers nothing more here.
    pub fn is_over(&self) -> bool {
        self.place.is_over()
    }

    /// Returns true if the protocol allows the server to close now, whatever was sent: with HTTP,
    /// between responses (RFC 9112, 9.5).
    pub fn may_be_closed(&self, reader: &Reader<'_>) -> bool {
        matches!(reader, Reader::Http(_)) && self.has_answered && self.place.is_between()
    }

    /// Takes the messages out that are not answered, to send them elsewhere.
    pub fn take_issued(&mut self) -> VecDeque<Message> {
        std::mem::take(&mut self.issued)
    }

    /// Takes a message of `size` bytes into what is to be sent; `flush` sends it.
    pub fn issue(&mut self, size: u64, message: Message) {
        self.granted += size;
        self.issued.push_back(message);
    }

    /// Sends what was issued, as far as the socket takes it.
    pub fn flush(&mut self, pattern: &Pattern) -> Result<(), Failure> {
        while self.sent < self.granted {
            let chunk = pattern.at(self.origin + self.sent, self.granted - self.sent);
            match self.stream.write(chunk) {
                Ok(count) => self.sent += count as u64,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Reads what has come. `to_the_end`: until nothing is left, for no further event will tell.
    ///
    /// # Errors
    ///
    /// An end of the stream is one as well, unless it ends a response. Answers that came before an
    /// error are told by `answered`.
    pub fn receive(
        &mut self,
        buffer: &mut [u8; CHUNK],
        reader: &mut Reader<'_>,
        to_the_end: bool,
    ) -> Result<(), Failure> {
        loop {
            let (wanted, unseen) = match reader {
                Reader::Echo { .. } => (CHUNK, false),
                Reader::Http(reader) => reader.wanted(&self.place),
            };
            let wanted = &mut buffer[..wanted.min(CHUNK)];
            let received = if unseen {
                discard(&self.stream, wanted)
            } else {
                self.stream.read(wanted)
            };
            match received {
                Ok(0) => return self.end(reader),
                Ok(count) => {
                    let asked = wanted.len();
                    match reader {
                        Reader::Http(reader) if unseen => {
                            self.received += count as u64;
                            self.complete += reader.skip(&mut self.place, count as u64);
                        }
                        _ => self.take(&buffer[..count], reader)?,
                    }
                    if self.is_over() {
                        return Ok(());
                    }
                    // A short read has emptied the socket; what comes later is a new event.
                    if count < asked && !to_the_end {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn take(&mut self, bytes: &[u8], reader: &mut Reader<'_>) -> Result<(), Failure> {
        let count = bytes.len() as u64;
        match reader {
            Reader::Echo { size, verify } => {
                if self.received + count > self.sent {
                    return Err(Failure::Surplus);
                }
                let compared = verify.map(|pattern| pattern.at(self.origin + self.received, count));
                if compared.is_some_and(|right| right != bytes) {
                    return Err(Failure::Corrupt);
                }
                self.partial += count;
                while self.partial >= *size {
                    self.partial -= *size;
                    self.complete += 1;
                }
            }
            Reader::Http(reader) => {
                let most = self.issued.len() as u64 - self.complete;
                self.complete += reader.take(&mut self.place, bytes, most)?;
            }
        }
        self.received += count;
        Ok(())
    }

    /// The stream has ended.
    fn end(&mut self, reader: &mut Reader<'_>) -> Result<(), Failure> {
        if let Reader::Http(reader) = reader {
            self.complete += reader.end(&mut self.place);
        }
        if self.is_over() {
            Ok(())
        } else {
            Err(Failure::Closed)
        }
    }

    /// If the answer to the oldest message is complete, takes out that message.
    pub fn answered(&mut self) -> Option<Message> {
        self.complete = self.complete.checked_sub(1)?;
        self.has_answered = true;
        self.issued.pop_front()
    }
}

/// Receives as much as there is room for, without touching it: TCP sockets discard it.
fn discard(stream: &TcpStream, room: &mut [u8]) -> std::io::Result<usize> {
    let (_, count) = rustix::net::recv(stream, room, rustix::net::RecvFlags::TRUNC)?;
    Ok(count)
}

fn is_in_progress(error: &std::io::Error) -> bool {
    rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::INPROGRESS)
}
