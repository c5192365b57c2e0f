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

/// Result of driving a connection: its next step.
pub(crate) enum Drive {
    /// Wait until the stream becomes ready.
    Wait,
    /// Poll again, after other connections have had their turn.
    Again,
    /// Poll again where the poll may sleep, as the next step may have to.
    NeedsProcessContext,
    /// The connection has ended, and its session with it.
    Done {
        /// True if the peer is to see a reset instead of the end of the stream.
        reset: bool,
    },
}

/// A driver without the type of its handler.
pub(crate) trait ConnDriver: Send {
    /// Returns true if the connection can be polled with bottom halves disabled.
    fn can_poll_bh(&self) -> bool;

    /// Advances the connection as far as it gets without waiting for the peer. May sleep, unless
    /// the poll must not.
    ///
    /// Must not be called again after it has returned [`Drive::Done`].
    fn drive(&mut self, cx: &mut PollCx<'_>) -> Drive;
}

/// Returns true if connections of a handler `H` can be polled with bottom halves disabled: the
/// handler does not sleep, or tries first.
pub(crate) const fn can_poll_bh<H: Handler>() -> bool {
    !H::MAY_SLEEP || H::TRIES_FIRST
}

/// The driver of one connection of a handler `H`, with the buffers that hold bytes between polls.
pub(crate) struct HandlerDriver<H: Handler> {
    protocol: Protocol<H>,
    /// Bytes that the handler has not consumed.
    input: Option<Buffer>,
    /// Bytes that the socket has not taken.
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

    /// Swaps each kept buffer with its scratch buffer, before a poll.
    #[cold]
    fn lend_buffers(&mut self, cx: &mut PollCx<'_>) {
        for (own, scratch) in self.buffers(cx.scratch) {
            if own.is_some() {
                mem::swap(own, scratch);
            }
        }
    }

    /// Keeps each scratch buffer that still holds bytes after a poll, and gives back the one for
    /// which it was swapped. Frees one of two empty buffers.
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
