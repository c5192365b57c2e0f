// SPDX-License-Identifier: GPL-2.0

//! The part of a server that its connections see.

use super::{
    sleeper::InterruptLock,
    timers::{
        Clock,
        Timeouts, //
    }, //
};
use crate::{
    buffer::BufferSize,
    stats::Counters,
    sync::{
        latch::Latch,
        lock_class::new_spinlock, //
    },
    util::name::Name, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::Delta, //
};

/// Settings of a server that apply to each of its connections.
#[derive(Clone, Copy)]
pub(crate) struct ConnConfig {
    pub(crate) input: BufferSize,
    pub(crate) output: BufferSize,
    pub(crate) timeouts: Timeouts,
    /// Longest time without an acknowledgement from the peer after the connection has ended.
    pub(crate) close_timeout: Delta,
}

/// State that a server and its connections share.
#[pin_data]
pub(crate) struct Environment {
    pub(crate) name: Name,
    pub(crate) config: ConnConfig,
    /// True if the server has timeouts, so that each poll records its progress.
    pub(super) is_timed: bool,
    pub(crate) counters: Arc<Counters>,
    pub(crate) clock: Clock,
    /// Opened when the server begins to stop.
    #[pin]
    pub(crate) stopping: Latch,
    /// Held while a handler is interrupted.
    #[pin]
    pub(crate) interrupts: InterruptLock,
}

impl Environment {
    pub(crate) fn new(
        name: Name,
        config: ConnConfig,
        counters: Arc<Counters>,
    ) -> impl PinInit<Self> {
        pin_init!(Self {
            name,
            clock: Clock::new(&config.timeouts),
            is_timed: config.timeouts.are_any(),
            config,
            counters,
            stopping <- Latch::new(),
            interrupts <- new_spinlock!(()),
        })
    }
}
