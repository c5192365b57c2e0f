// SPDX-License-Identifier: GPL-2.0

//! A server that waits with io_uring(7), in the way that its authors recommend for speed: a ring of
//! one thread, which runs its completions when it waits, and whose descriptor is registered; accept
//! and receive requested once for many completions; descriptors that only the ring knows; buffers
//! that the kernel chooses and fills bit by bit, and that are sent from where they are. An echo
//! costs its part of one system call for a batch.
//!
//! Sends are not those of `IORING_OP_SEND_ZC`: the loopback device copies what they hand on, and
//! from 16 KiB on an echo costs 5 to 6 % more instructions.

use crate::buffers::{Buffers, Piece, GROUP};
use anyhow::{Context, Result};
use io_uring::{
    cqueue, opcode, squeue, types::Fixed, CompletionQueue, IoUring, SubmissionQueue, Submitter,
};
use std::{collections::VecDeque, net::TcpListener, os::fd::AsRawFd};

const ENTRIES: u32 = 4096;
const COMPLETIONS: u32 = 4 * ENTRIES;
/// The descriptors of the ring.
const CONNECTIONS: u32 = 32_768;

const MSG_NOSIGNAL: i32 = 0x4000;
const MSG_WAITALL: i32 = 0x100;
const ENOBUFS: i32 = -105;

/// What a request was for: the upper half of its user data. The lower half is the connection.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
enum Kind {
    Accept,
    Receive,
    Send,
    Shutdown,
    Close,
}

impl Kind {
    fn tag(self, index: u32) -> u64 {
        ((self as u64) << 32) | u64::from(index)
    }

    fn of(tag: u64) -> (Self, u32) {
        let kinds = [
            Self::Accept,
            Self::Receive,
            Self::Send,
            Self::Shutdown,
            Self::Close,
        ];
        (kinds[(tag >> 32) as usize], tag as u32)
    }
}

/// A connection; its place in the list is its descriptor.
#[derive(Default)]
struct Connection {
    /// What is to be sent, one after the other.
    queue: VecDeque<Piece>,
    /// The first of the queue is being sent.
    is_sending: bool,
    /// Nothing more will be received.
    is_ended: bool,
}

struct Server<'a> {
    submitter: Submitter<'a>,
    requests: SubmissionQueue<'a>,
    buffers: Buffers,
    connections: Vec<Connection>,
    /// Connections that found no buffer: they receive again when one is given back.
    starved: Vec<u32>,
}

/// Serves for ever.
pub fn serve(listener: TcpListener) -> Result<()> {
    let mut uring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_submit_all()
        .setup_no_sqarray()
        .setup_cqsize(COMPLETIONS)
        .build(ENTRIES)
        .context("io_uring_setup")?;
    let (mut submitter, requests, mut completions) = uring.split();
    submitter
        .register_ring_fd()
        .context("io_uring_register_ring_fd")?;
    submitter
        .register_files_sparse(CONNECTIONS)
        .context("io_uring_register_files_sparse: is the limit of open files high enough?")?;
    let buffers = Buffers::register(&submitter)?;
    let mut server = Server {
        submitter,
        requests,
        buffers,
        connections: Vec::new(),
        starved: Vec::new(),
    };
    server.accept(&listener);
    loop {
        server.wait()?;
        server.complete_all(&listener, &mut completions);
        server.feed_starved();
    }
}

impl Server<'_> {
    /// Hands over what was requested, and waits until something is complete.
    fn wait(&mut self) -> Result<()> {
        self.requests.sync();
        let result = self.submitter.submit_and_wait(1);
        self.requests.sync();
        match result {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => Ok(()),
            // More completions than places for them: they are taken next.
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => Ok(()),
            Err(error) => Err(error).context("io_uring_enter"),
        }
    }

    fn complete_all(&mut self, listener: &TcpListener, completions: &mut CompletionQueue<'_>) {
        completions.sync();
        for entry in &mut *completions {
            self.complete(listener, &entry);
        }
        // Their places are free from now on.
        completions.sync();
    }

    // Requests

    fn push(&mut self, entry: squeue::Entry) {
        // SAFETY: The only memory that a request of ours names is a buffer of `self.buffers`, all
        // of which live for ever; it is given back to the kernel after the request's completion.
        while unsafe { self.requests.push(&entry) }.is_err() {
            // Full: the kernel takes what is there.
            self.requests.sync();
            let _ = self.submitter.submit();
            self.requests.sync();
        }
    }

    fn accept(&mut self, listener: &TcpListener) {
        let listener = io_uring::types::Fd(listener.as_raw_fd());
        let accept = opcode::AcceptMulti::new(listener).allocate_file_index(true);
        self.push(accept.build().user_data(Kind::Accept.tag(0)));
    }

    fn receive(&mut self, index: u32) {
        let receive = opcode::RecvMulti::new(Fixed(index), GROUP);
        self.push(receive.build().user_data(Kind::Receive.tag(index)));
    }

    /// Sends what is next, if nothing is being sent; closes when there will be nothing more.
    fn go_on(&mut self, index: u32) {
        let connection = &mut self.connections[index as usize];
        if connection.is_sending {
            return;
        }
        let Some(&piece) = connection.queue.front() else {
            if connection.is_ended {
                let close = opcode::Close::new(Fixed(index)).build();
                self.push(close.user_data(Kind::Close.tag(index)));
            }
            return;
        };
        connection.is_sending = true;
        let address = self.buffers.address(piece);
        let send = opcode::Send::new(Fixed(index), address, piece.length)
            .flags(MSG_WAITALL | MSG_NOSIGNAL)
            .build();
        self.push(send.user_data(Kind::Send.tag(index)));
    }

    fn feed_starved(&mut self) {
        if self.buffers.any_free() {
            for index in std::mem::take(&mut self.starved) {
                self.receive(index);
            }
        }
    }

    // Completions

    fn complete(&mut self, listener: &TcpListener, entry: &cqueue::Entry) {
        let (kind, index) = Kind::of(entry.user_data());
        match kind {
            Kind::Accept => self.accepted(listener, entry),
            Kind::Receive => self.received(index, entry),
            Kind::Send => self.sent(index, entry.result()),
            Kind::Shutdown | Kind::Close => {}
        }
    }

    fn accepted(&mut self, listener: &TcpListener, entry: &cqueue::Entry) {
        // An error is a client's that has gone already, or a lack of descriptors.
        if let Ok(index) = u32::try_from(entry.result()) {
            let place = index as usize;
            if self.connections.len() <= place {
                self.connections.resize_with(place + 1, Connection::default);
            }
            self.connections[place] = Connection::default();
            self.receive(index);
        }
        if !cqueue::more(entry.flags()) {
            self.accept(listener);
        }
    }

    fn received(&mut self, index: u32, entry: &cqueue::Entry) {
        let result = entry.result();
        let more = cqueue::more(entry.flags());
        let connection = &mut self.connections[index as usize];
        if let Some(buffer) = cqueue::buffer_select(entry.flags()) {
            let length = u32::try_from(result).unwrap_or(0);
            let more = cqueue::buffer_more(entry.flags());
            let piece = self.buffers.take(buffer, length, more);
            if length > 0 {
                connection.queue.push_back(piece);
            } else {
                self.buffers.give_back(piece);
            }
        }
        if result == ENOBUFS {
            self.starved.push(index);
        } else if result > 0 && !more {
            self.receive(index);
        } else if result <= 0 {
            self.connections[index as usize].is_ended = true;
        }
        self.go_on(index);
    }

    fn sent(&mut self, index: u32, result: i32) {
        let connection = &mut self.connections[index as usize];
        connection.is_sending = false;
        let Some(piece) = connection.queue.pop_front() else {
            return;
        };
        let is_broken = result != piece.length as i32;
        let rest = if is_broken {
            std::mem::take(&mut connection.queue)
        } else {
            VecDeque::new()
        };
        let is_ended = connection.is_ended;
        self.buffers.give_back(piece);
        for piece in rest {
            self.buffers.give_back(piece);
        }
        if is_broken && !is_ended {
            // The receiving side ends by that, and then the connection is closed.
            let shutdown = opcode::Shutdown::new(Fixed(index), 2).build();
            self.push(shutdown.user_data(Kind::Shutdown.tag(index)));
            return;
        }
        self.go_on(index);
    }
}
