// SPDX-License-Identifier: GPL-2.0

//! Context of one poll: the stream, the buffers that are lent for it, and what it has found.

use super::{
    is_filled,
    CloseAction,
    Scratch,
    Stop, //
};
use crate::{
    buffer::{
        Buffer,
        BufferSize, //
    },
    connection::{
        timers::Pending,
        trace,
        Connection, //
    },
    fs::File,
    handler::{
        CloseReason,
        Mailbox, //
    },
    net::{
        FilePiece,
        Sent,
        TcpStream, //
    },
    server::config::Config,
    sync::softirq::BhToken, //
};
use core::ops::Range;
use kernel::{
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    }, //
};

/// Result of receiving.
pub(super) enum Received {
    Bytes {
        count: usize,
        /// True if there is more to receive at once.
        more: bool,
    },
    End,
    Nothing,
}

/// Context of one poll of a connection.
pub(crate) struct PollCx<'a> {
    pub(super) connection: &'a Arc<Connection>,
    /// The connection, for a [`Peer`](crate::Peer). Made of it here, in the library: a vtable that is made
    /// where the handler's type is known is a part of the handler's module.
    pub(super) mailbox: ArcBorrow<'a, dyn Mailbox + 'static>,
    pub(super) stream: &'a TcpStream,
    /// The token of a poll that must not sleep.
    bh: Option<BhToken<'a>>,
    /// True if others may have something to say, which is to be looked at.
    pub(super) called: bool,
    /// With buffers that are made when they are needed, or that an earlier poll has left.
    pub(super) scratch: &'a mut Scratch,
    pub(super) pending: Pending,
    /// True if something may be left in the buffers at the end.
    pub(super) leaves_some: bool,
    /// The end, when a step has failed with [`Stop::End`].
    pub(super) ending: Option<CloseAction>,
}

impl<'a> PollCx<'a> {
    #[inline]
    pub(crate) fn new(
        connection: &'a Arc<Connection>,
        stream: &'a TcpStream,
        scratch: &'a mut Scratch,
        bh: Option<BhToken<'a>>,
        called: bool,
    ) -> Self {
        Self {
            connection,
            mailbox: connection.as_arc_borrow(),
            stream,
            bh,
            called,
            scratch,
            pending: Pending::default(),
            leaves_some: false,
            ending: None,
        }
    }

    #[inline]
    fn config(&self) -> &Config {
        self.connection.config()
    }

    #[inline]
    pub(super) fn may_sleep(&self) -> bool {
        self.bh.is_none()
    }

    /// For what cannot be done without sleeping.
    #[inline]
    pub(super) fn sleep_or_go(&self) -> Result<(), Stop> {
        if self.may_sleep() {
            Ok(())
        } else {
            Err(Stop::NeedsProcessContext)
        }
    }

    /// Notes how to end, and says so.
    #[cold]
    pub(super) fn end(&mut self, ending: CloseAction) -> Stop {
        self.ending = Some(ending);
        Stop::End
    }

    #[inline]
    pub(super) fn input(&mut self) -> Result<&mut Buffer, Stop> {
        if self.scratch.input.is_none() {
            self.scratch.input = Some(self.make(self.config().input)?);
        }
        self.scratch.input.as_mut().ok_or(Stop::NeedsProcessContext)
    }

    #[inline]
    pub(super) fn buffers(&mut self) -> Result<(&mut Buffer, &mut Buffer), Stop> {
        if self.scratch.output.is_none() {
            self.scratch.output = Some(self.make(self.config().output)?);
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

    /// Returns true if there is something to see to before anything is received.
    pub(super) fn is_unsettled(&self) -> bool {
        self.has_output()
            || self.is_input_full()
            || self.connection.has_pushed()
            || self.connection.is_stopping()
    }

    /// Returns true if nothing more can be received before the handler consumes something.
    #[inline]
    pub(super) fn is_input_full(&self) -> bool {
        let input = self.scratch.input.as_ref();
        input.is_some_and(|input| input.room() == 0)
    }

    /// Moves what others have pushed into the output, as far as there is room. Says whether there
    /// was anything.
    pub(super) fn take_pushed(&mut self) -> Result<(), Stop> {
        if self.connection.has_pushed() {
            self.sleep_or_go()?;
            let connection = self.connection;
            connection.take_pushed(self.buffers()?.1);
        }
        Ok(())
    }

    /// Receives into the input; `much` says what is expected.
    #[inline]
    pub(super) fn receive(&mut self, budget: &mut usize, much: bool) -> Result<Received, Stop> {
        let (stream, bh) = (self.stream, self.bh);
        let input = self.input()?;
        match input.receive(stream, bh, much) {
            Ok((0, _)) => Ok(Received::End),
            Ok((count, more)) => {
                self.scratch.stats.bytes_in += count;
                trace::receive(self.connection, count);
                self.pending.received = true;
                *budget = budget.saturating_sub(count);
                Ok(Received::Bytes { count, more })
            }
            Err(EAGAIN) => Ok(Received::Nothing),
            Err(error) => Err(self.broken(error)),
        }
    }

    /// Sends what is in the output, behind which there is `more`; says whether all of it was sent.
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
                    trace::send(self.connection, count);
                    self.pending.sent = true;
                    *budget = budget.saturating_sub(count);
                }
                Err(EAGAIN) => return Ok(false),
                Err(error) => return Err(self.broken(error)),
            }
        }
        Ok(true)
    }

    /// Sends the start of that part of a file.
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
                trace::send(self.connection, sent.count);
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

    /// Returns what an error of the socket means.
    fn broken(&mut self, error: Error) -> Stop {
        match error {
            EBUSY if !self.may_sleep() => Stop::NeedsProcessContext,
            _ => self.end(CloseAction::reset(CloseReason::Broken(error))),
        }
    }
}
