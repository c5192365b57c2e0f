// SPDX-License-Identifier: GPL-2.0

//! One conversation: socket to handler to output to socket.

mod exchange;
mod poll_cx;

use self::exchange::Exchange;
use crate::{
    buffer::Buffer,
    connection::timers::Pending,
    handler::{
        CloseReason,
        Handler, //
    },
    net::Fragment,
    stats::{
        Counter,
        StatsBatch, //
    }, //
};
use core::mem;
use kernel::{
    prelude::*,
    sync::Arc, //
};

pub(crate) use self::poll_cx::PollCx;

/// Scratch buffers lent to a connection for one poll: an idle connection has none of its own.
#[derive(Default)]
pub(crate) struct Scratch {
    input: Option<Buffer>,
    output: Option<Buffer>,
    fragment: Fragment,
    /// Events that polls have counted and that are not yet added to the figures of the server.
    pub(crate) stats: StatsBatch,
}

/// Result of driving a conversation: what is to be done with it next.
pub(crate) enum Step {
    /// Nothing until its stream becomes ready.
    Wait,
    /// It has more to do, when others have had their turn.
    Again,
    /// It has something to do for which a poll has to sleep, which this one must not.
    NeedsProcessContext,
    /// It has ended, and was closed.
    Done {
        /// True if the peer is to see a reset instead of the end of the stream.
        reset: bool,
    },
}

/// A conversation whatever its handler is.
pub(crate) trait Drive: Send {
    /// Returns true if polls that must not sleep are of any use.
    fn can_poll_bh(&self) -> bool;

    /// Does what can be done without waiting for the peer. May sleep where the handler does, unless
    /// the poll must not.
    ///
    /// Not to be called again once it has returned [`Step::Done`].
    fn drive(&mut self, cx: &mut PollCx<'_>) -> Step;
}

/// The way in which a conversation ends.
struct CloseAction {
    reason: CloseReason,
    counter: Counter,
    reset: bool,
}

impl CloseAction {
    fn orderly(reason: CloseReason) -> Self {
        Self {
            reason,
            counter: Counter::of(reason),
            reset: false,
        }
    }

    fn reset(reason: CloseReason) -> Self {
        Self {
            reset: true,
            ..Self::orderly(reason)
        }
    }

    /// The handler did not want the connection.
    fn refused(error: Error) -> Self {
        Self {
            counter: Counter::RefusedByHandler,
            ..Self::reset(CloseReason::Failed(error))
        }
    }

    /// Memory that the connection needs is not to be had.
    fn starved(error: Error) -> Self {
        Self {
            counter: Counter::OutOfMemory,
            ..Self::reset(CloseReason::Failed(error))
        }
    }
}

/// The reason why a poll cannot go on. Small: it comes back from each step of it.
enum Stop {
    /// The conversation ends, as the context's `ending` says.
    End,
    NeedsProcessContext,
}

/// Returns true if polls that must not sleep are of any use to a handler.
pub(crate) const fn can_poll_bh<H: Handler>() -> bool {
    !H::MAY_SLEEP || H::TRIES_FIRST
}

/// The conversation of a handler `H` on one connection.
pub(crate) struct Conversation<H: Handler> {
    exchange: Exchange<H>,
    /// Not yet consumed by the handler.
    input: Option<Buffer>,
    /// Not yet taken by the peer.
    output: Option<Buffer>,
}

impl<H: Handler> Conversation<H> {
    pub(crate) fn new(handler: Arc<H>) -> Self {
        Self {
            exchange: Exchange::new(handler),
            input: None,
            output: None,
        }
    }

    fn buffers<'a>(
        &'a mut self,
        scratch: &'a mut Scratch,
    ) -> [(&'a mut Option<Buffer>, &'a mut Option<Buffer>); 2] {
        [
            (&mut self.input, &mut scratch.input),
            (&mut self.output, &mut scratch.output),
        ]
    }

    /// Before a poll: a buffer that was kept changes places with the one that is lent.
    #[cold]
    fn lend_buffers(&mut self, cx: &mut PollCx<'_>) {
        for (own, scratch) in self.buffers(cx.scratch) {
            if own.is_some() {
                mem::swap(own, scratch);
            }
        }
    }

    /// After a poll: a buffer in which something is left changes places with the one that is lent, if that
    /// is here; of others no more than one is needed.
    #[cold]
    fn take_buffers_back(&mut self, cx: &mut PollCx<'_>) {
        for (own, scratch) in self.buffers(cx.scratch) {
            if is_filled(scratch) {
                mem::swap(own, scratch);
            } else if scratch.is_some() {
                *own = None;
            } else {
                *scratch = own.take();
            }
        }
        if self.input.is_some() || self.output.is_some() {
            self.exchange.unsettle(cx);
        }
    }
}

impl<H: Handler> Drive for Conversation<H> {
    fn can_poll_bh(&self) -> bool {
        can_poll_bh::<H>()
    }

    fn drive(&mut self, cx: &mut PollCx<'_>) -> Step {
        if self.exchange.is_unsettled() {
            self.lend_buffers(cx);
        }
        let step = self.exchange.drive(cx);
        debug_assert!(
            cx.leaves_some || !is_filled(&cx.scratch.input) && !is_filled(&cx.scratch.output)
        );
        if cx.leaves_some {
            self.take_buffers_back(cx);
        }
        if cx.connection.is_timed() {
            cx.connection.note(Pending {
                input: self.input.is_some(),
                output: self.output.is_some() || self.exchange.has_file(),
                ..cx.pending
            });
        }
        step
    }
}

#[inline]
fn is_filled(buffer: &Option<Buffer>) -> bool {
    buffer.as_ref().is_some_and(|buffer| !buffer.is_empty())
}
