// SPDX-License-Identifier: GPL-2.0

//! The part of a connection that its driver sees.

use super::{
    environment::Environment,
    inbox::Inbox,
    timers::{
        Pending,
        Timers, //
    }, //
};
use core::net::SocketAddr;
use kernel::prelude::*;

/// The part of a connection that its driver sees.
#[pin_data]
pub(crate) struct Endpoint {
    /// Index in the server's table.
    pub(crate) number: usize,
    pub(crate) peer: SocketAddr,
    #[pin]
    pub(super) inbox: Inbox,
    /// Times at which the timeouts began to run.
    pub(super) timers: Timers,
}

impl Endpoint {
    pub(super) fn new(env: &Environment, number: usize, peer: SocketAddr) -> impl PinInit<Self> {
        let now = env.clock.now();
        pin_init!(Self {
            number,
            peer,
            inbox <- Inbox::new(),
            timers: Timers::new(now),
        })
    }

    /// Returns true if the connection has ended and the peer has yet to acknowledge that. Any
    /// context.
    pub(crate) fn is_closing(&self) -> bool {
        self.inbox.is_closed()
    }

    /// Records the bytes that a poll has moved, and those that it has left in the buffers.
    #[inline]
    pub(super) fn note(&self, env: &Environment, pending: Pending) {
        self.timers.note(env.clock.now(), pending);
    }
}
