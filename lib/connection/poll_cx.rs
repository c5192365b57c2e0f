// SPDX-License-Identifier: GPL-2.0

//! Context of one poll: the stream, the scratch buffers, and the results so far.

use super::{
    close_action::CloseAction,
    endpoint::Endpoint,
    environment::Environment,
    timers::Pending,
    trace, //
};
use crate::{
    buffer::{
        Buffer,
        BufferSize, //
    },
    executor,
    fs::File,
    handler::{
        CloseReason,
        Mailbox, //
    },
    net::{
        FilePiece,
        Fragment,
        Sent,
        TcpStream, //
    },
    stats::StatsBatch,
    sync::softirq::BhToken, //
};
use core::ops::Range;
use kernel::{
    prelude::*,
    sync::ArcBorrow, //
};

/// Scratch buffers lent to a connection for one poll: an idle connection has none of its own.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(super) input: Option<Buffer>,
    pub(super) output: Option<Buffer>,
    pub(super) fragment: Fragment,
    /// Events that polls have counted and not yet added to the server's counters.
    pub(super) stats: StatsBatch,
}

impl executor::Scratch for Scratch {
    #[inline]
    fn stats(&mut self) -> &mut StatsBatch {
        &mut self.stats
    }
}

/// The reason why a poll cannot go on.
///
/// Small, because each step of a poll returns it.
pub(super) enum Stop {
    /// The connection ends, as [`PollCx::ending`] says.
    End,
    NeedsProcessContext,
}

/// Result of receiving.
pub(super) enum Received {
    Bytes {
        count: usize,
        /// True if the socket has more to receive now.
        more: bool,
    },
    End,
    Nothing,
}

/// Context of one poll of a connection.
pub(crate) struct PollCx<'a> {
    pub(super) env: &'a Environment,
    pub(super) conn: &'a Endpoint,
    /// The connection, for a [`Peer`](crate::Peer).
    pub(super) mailbox: ArcBorrow<'a, dyn Mailbox + 'static>,
    pub(super) stream: &'a TcpStream,
    /// Set in a poll that must not sleep.
    bh: Option<BhToken<'a>>,
    /// True if the poll checks the inbox before the stream.
    pub(super) slow_path: bool,
    /// Its buffers are allocated on first use, or left by an earlier poll.
    pub(super) scratch: &'a mut Scratch,
    pub(super) pending: Pending,
    /// True if the buffers may hold bytes when the poll ends.
    pub(super) leaves_some: bool,
    /// The end of the connection, once a step has failed with [`Stop::End`].
    pub(super) ending: Option<CloseAction>,
}

impl<'a> PollCx<'a> {
    /// Creates the context of a poll.
    ///
    /// The caller is code of the library that does not know the type of the handler, so the vtable
    /// of `mailbox` outlives the handler's module.
    #[inline]
    pub(super) fn new(
        env: &'a Environment,
        conn: &'a Endpoint,
        mailbox: ArcBorrow<'a, dyn Mailbox + 'static>,
        stream: &'a TcpStream,
        scratch: &'a mut Scratch,
        bh: Option<BhToken<'a>>,
        slow_path: bool,
    ) -> Self {
        Self {
            env,
            conn,
            mailbox,
            stream,
            bh,
            slow_path,
            scratch,
            pending: Pending::default(),
            leaves_some: false,
            ending: None,
        }
    }

    #[inline]
    pub(super) fn may_sleep(&self) -> bool {
        self.bh.is_none()
    }

    /// Fails with [`Stop::NeedsProcessContext`] unless the poll may sleep.
    #[inline]
    pub(super) fn sleep_or_go(&self) -> Result<(), Stop> {
        if self.may_sleep() {
            Ok(())
        } else {
            Err(Stop::NeedsProcessContext)
        }
    }

    /// Records how the connection ends, and returns [`Stop::End`].
    #[cold]
    pub(super) fn end(&mut self, ending: CloseAction) -> Stop {
        self.ending = Some(ending);
        Stop::End
    }

    #[inline]
    pub(super) fn input(&mut self) -> Result<&mut Buffer, Stop> {
        if self.scratch.input.is_none() {
            self.scratch.input = Some(self.make(self.env.config.input)?);
        }
        self.scratch.input.as_mut().ok_or(Stop::NeedsProcessContext)
    }

    #[inline]
    pub(super) fn buffers(&mut self) -> Result<(&mut Buffer, &mut Buffer), Stop> {
        if self.scratch.output.is_none() {
            self.scratch.output = Some(self.make(self.env.config.output)?);
        }
        self.input()?;
        match (&mut self.scratch.input, &mut self.scratch.output) {
            (Some(input), Some(output)) => Ok((input, output)),
            _ => Err(Stop::NeedsProcessContext),
        }
    }

    #[cold]
    fn make(&mut self, size: BufferSize) -> Result<Buffer, Stop> {
        if self.may_sleep() {
            Buffer::new(size).map_err(|error| self.end(CloseAction::starved(error)))
        } else {
            Buffer::new_atomic(size).map_err(|_| Stop::NeedsProcessContext)
        }
    }

    #[inline]
    pub(super) fn has_output(&self) -> bool {
        is_filled(&self.scratch.output)
    }

    /// Returns true if the buffers, the inbox or the stop of the server come before receiving.
    pub(super) fn needs_attention(&self) -> bool {
        self.has_output() || self.is_input_full() || self.has_pushed() || self.is_stopping()
    }

    /// Returns true if the input has no room until the handler consumes bytes.
    #[inline]
    pub(super) fn is_input_full(&self) -> bool {
        let input = self.scratch.input.as_ref();
        input.is_some_and(|input| input.room() == 0)
    }

    /// Returns true if other tasks have pushed data that is not in the output yet.
    #[inline]
    pub(super) fn has_pushed(&self) -> bool {
        self.conn.inbox.has_data()
    }

    /// Returns true if the server is about to stop.
    #[inline]
    pub(super) fn is_stopping(&self) -> bool {
        self.env.stopping.is_opening()
    }

    /// Moves data that other tasks have pushed into the output, as much as fits.
    pub(super) fn take_pushed(&mut self) -> Result<(), Stop> {
        if self.has_pushed() {
            self.sleep_or_go()?;
            let conn = self.conn;
            conn.inbox.take_data(self.buffers()?.1);
        }
        Ok(())
    }

    /// Receives into the input. `much` is true if many bytes are expected at once.
    #[inline]
    pub(super) fn receive(&mut self, budget: &mut usize, much: bool) -> Result<Received, Stop> {
        let (stream, bh) = (self.stream, self.bh);
        let input = self.input()?;
        match input.receive(stream, bh, much) {
            Ok((0, _)) => Ok(Received::End),
            Ok((count, more)) => {
                self.scratch.stats.bytes_in += count;
                trace::receive(self.env, self.conn, count);
                self.pending.received = true;
                *budget = budget.saturating_sub(count);
                Ok(Received::Bytes { count, more })
            }
            Err(EAGAIN) => Ok(Received::Nothing),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// Sends the output, and returns true if the socket took all of it. `more` is true if more
    /// bytes follow it.
    #[inline(always)]
    pub(super) fn flush(&mut self, budget: &mut usize, more: bool) -> Result<bool, Stop> {
        let Scratch {
            output: Some(output),
            fragment,
            stats,
            ..
        } = &mut *self.scratch
        else {
            return Ok(true);
        };
        while !output.is_empty() {
            match output.send(self.stream, fragment, self.bh, more) {
                Ok(count) => {
                    stats.bytes_out += count;
                    trace::send(self.env, self.conn, count);
                    self.pending.sent = true;
                    *budget = budget.saturating_sub(count);
                }
                Err(EAGAIN) => return Ok(false),
                Err(error) => return Err(self.broken(error)),
            }
        }
        Ok(true)
    }

    /// Sends bytes from the start of `range` of a file, at most `budget`.
    pub(super) fn send_file(
        &mut self,
        file: &File,
        range: Range<u64>,
        budget: &mut usize,
    ) -> Result<Sent, Stop> {
        let left = range.end - range.start;
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(*budget);
        let piece = FilePiece {
            file,
            position: range.start,
            len,
            more: left > len as u64,
        };
        match self
            .stream
            .send_file(self.bh, &mut self.scratch.fragment, piece)
        {
            Ok(Sent { count: 0, .. }) => {
                Err(self.end(CloseAction::reset(CloseReason::Failed(EIO))))
            }
            Ok(sent) => {
                self.scratch.stats.bytes_out += sent.count;
                trace::send(self.env, self.conn, sent.count);
                self.pending.sent = true;
                *budget -= sent.count;
                Ok(sent)
            }
            Err(EAGAIN) => Ok(Sent {
                count: 0,
                is_full: true,
            }),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// Returns how the poll stops after an error of the socket.
    fn broken(&mut self, error: Error) -> Stop {
        match error {
            EBUSY if !self.may_sleep() => Stop::NeedsProcessContext,
            _ => self.end(CloseAction::reset(CloseReason::Broken(error))),
        }
    }
}

#[inline]
pub(super) fn is_filled(buffer: &Option<Buffer>) -> bool {
    buffer.as_ref().is_some_and(|buffer| !buffer.is_empty())
}
