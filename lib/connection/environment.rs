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

/// Settings of a server that each of its connections has.
#[derive(Clone, Copy)]
pub(crate) struct ConnConfig {
    pub(crate) input: BufferSize,
    pub(crate) output: BufferSize,
    pub(crate) timeouts: Timeouts,
    /// The longest time in which a peer may acknowledge nothing of what is left at the end.
    pub(crate) close_timeout: Delta,
}

/// State that a server and its connections share.
#[pin_data]
pub(crate) struct Environment {
    pub(crate) name: Name,
    pub(crate) config: ConnConfig,
    /// True if there are timeouts, so that polls are to be noted.
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
