// SPDX-License-Identifier: GPL-2.0

//! The driver of a connection: moves bytes from the stream to the handler and back.

mod conn_state;
mod protocol;

use self::protocol::Protocol;
use super::{
    poll_cx::{
        is_filled,
        PollCx,
        Scratch, //
    },
    timers::Pending, //
};
use crate::{
    buffer::Buffer,
    handler::Handler, //
};
use core::mem;
use kernel::sync::Arc;

/// Result of driving a connection: what is to be done with it next.
pub(crate) enum Drive {
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

/// A driver, whatever its handler is.
pub(crate) trait ConnDriver: Send {
    /// Returns true if polls that must not sleep are of any use.
    fn can_poll_bh(&self) -> bool;

    /// Does what can be done without waiting for the peer. May sleep where the handler does, unless
    /// the poll must not.
    ///
    /// Not to be called again once it has returned [`Drive::Done`].
    fn drive(&mut self, cx: &mut PollCx<'_>) -> Drive;
}

/// Returns true if polls that must not sleep are of any use to a handler.
pub(crate) const fn can_poll_bh<H: Handler>() -> bool {
    !H::MAY_SLEEP || H::TRIES_FIRST
}

/// The driver of one connection of a handler `H`, with the buffers that it keeps from one poll to the
/// next.
pub(crate) struct HandlerDriver<H: Handler> {
    protocol: Protocol<H>,
    /// Not yet consumed by the handler.
    input: Option<Buffer>,
    /// Not yet taken by the peer.
    output: Option<Buffer>,
}

impl<H: Handler> HandlerDriver<H> {
    pub(crate) fn new(handler: Arc<H>) -> Self {
        Self {
            protocol: Protocol::new(handler),
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
            self.protocol.need_attention(cx);
        }
    }
}

impl<H: Handler> ConnDriver for HandlerDriver<H> {
    fn can_poll_bh(&self) -> bool {
        can_poll_bh::<H>()
    }

    fn drive(&mut self, cx: &mut PollCx<'_>) -> Drive {
        if self.protocol.needs_attention() {
            self.lend_buffers(cx);
        }
        let result = self.protocol.drive(cx);
        debug_assert!(
            cx.leaves_some || !is_filled(&cx.scratch.input) && !is_filled(&cx.scratch.output)
        );
        if cx.leaves_some {
            self.take_buffers_back(cx);
        }
        if cx.env.is_timed {
            cx.conn.note(
                cx.env,
                Pending {
                    input: self.input.is_some(),
                    output: self.output.is_some() || self.protocol.has_file(),
                    ..cx.pending
                },
            );
        }
        result
    }
}
