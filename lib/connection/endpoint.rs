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
    /// Its place in the table of the server.
    pub(crate) number: usize,
    pub(crate) peer: SocketAddr,
    #[pin]
    pub(super) inbox: Inbox,
    /// The times at which they began to run.
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

    /// Returns true if the connection has ended, and its peer has yet to acknowledge that. Any context.
    pub(crate) fn is_closing(&self) -> bool {
        self.inbox.is_closed()
    }

    /// Notes what has moved in a poll, and what is left in the buffers.
    #[inline]
    pub(super) fn note(&self, env: &Environment, pending: Pending) {
        self.timers.note(env.clock.now(), pending);
    }
}
