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
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

/// The part of a connection that its driver sees.
#[pin_data]
pub(crate) struct Endpoint {
    /// Its place in the table of the server.
    pub(crate) number: usize,
    pub(crate) peer: SocketAddr,
    #[pin]
    pub(super) inbox: Inbox,
    /// True if there are timeouts at all.
    is_timed: bool,
    /// The times at which they began to run.
    pub(super) timers: Timers,
    /// True if the connection has ended, and its peer has yet to acknowledge that.
    is_closing: Atomic<bool>,
}

impl Endpoint {
    pub(super) fn new(env: &Environment, number: usize, peer: SocketAddr) -> impl PinInit<Self> {
        let now = env.clock.now();
        let is_timed = env.config.timeouts.are_any();
        pin_init!(Self {
            number,
            peer,
            inbox <- Inbox::new(),
            is_timed,
            timers: Timers::new(now),
            is_closing: Atomic::new(false),
        })
    }

    /// Returns true if the connection has ended, and its peer has yet to acknowledge that. Any context.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Relaxed)
    }

    /// Notes that the connection has ended, and that its peer has yet to acknowledge that.
    pub(super) fn set_closing(&self) {
        self.is_closing.store(true, Relaxed);
    }

    /// Returns true if there are timeouts, so that polls are to be [noted](Self::note).
    #[inline]
    pub(super) fn is_timed(&self) -> bool {
        self.is_timed
    }

    /// Notes what has moved in a poll, and what is left in the buffers.
    #[inline]
    pub(super) fn note(&self, env: &Environment, pending: Pending) {
        self.timers.note(env.clock.now(), pending);
    }
}
