// SPDX-License-Identifier: GPL-2.0

//! One conversation: socket to handler to output to socket.

use crate::{
    buffer::{
        Buffer,
        BufferSize, //
    },
    config::Config,
    connection::Connection,
    handler::{
        CloseReason,
        FilePart,
        Handler,
        Input,
        Next,
        Output, //
    },
    net::{
        Shutdown,
        TcpStream, //
    },
    peer::Peer,
    stats::Counter,
    timers::Pending,
    trace, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// How much one visit receives and sends before it lets others have their turn.
const BUDGET: usize = 256 << 10;

/// Empty buffers that wait for a conversation with something to put into them: an idle connection
/// has none of its own.
#[derive(Default)]
pub(crate) struct Spare {
    input: Option<Buffer>,
    output: Option<Buffer>,
}

/// What a conversation works with during a visit.
pub(crate) struct Visit<'a> {
    pub(crate) connection: &'a Arc<Connection>,
    pub(crate) stream: &'a TcpStream,
    pub(crate) spare: &'a mut Spare,
    pub(crate) pending: Pending,
}

impl Visit<'_> {
    fn config(&self) -> &Config {
        self.connection.config()
    }

    fn count(&self, counter: Counter, by: usize) {
        self.connection.count(counter, by);
    }
}

/// What is to be done with a conversation after a visit.
pub(crate) enum Step {
    /// Nothing until its stream becomes ready.
    Wait,
    /// It has more to do, when others have had their turn.
    Again,
    /// It has ended, and was closed.
    Done {
        /// Whether the peer is to see a reset instead of the end of the stream.
        reset: bool,
    },
}

/// A conversation whatever its handler is.
pub(crate) trait Drive: Send {
    /// Does what can be done without waiting for the peer. May sleep where the handler does.
    ///
    /// Not to be called again once it has returned [`Step::Done`].
    fn drive(&mut self, visit: &mut Visit<'_>) -> Step;
}

/// How a conversation ends.
struct Ending {
    reason: CloseReason,
    counter: Counter,
    reset: bool,
}

impl Ending {
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

/// What receiving has brought.
enum Received {
    Bytes {
        /// Whether there is more to receive at once.
        more: bool,
    },
    End,
    Nothing,
}

/// The conversation of a handler `H` on one connection.
pub(crate) struct Conversation<H: Handler> {
    handler: Arc<H>,
    session: Option<H::Session>,
    input: Option<Buffer>,
    output: Option<Buffer>,
    /// What is to be sent behind the output.
    file: Option<FilePart>,
    /// The handler wanted to write more than there was room for: it is to be called again when the
    /// output is sent.
    short: bool,
    /// The peer has sent its last byte.
    ended: bool,
    /// How to end once the output is sent.
    ending: Option<Ending>,
}

impl<H: Handler> Drive for Conversation<H> {
    fn drive(&mut self, visit: &mut Visit<'_>) -> Step {
        let step = match self.advance(visit) {
            Ok(step) => step,
            Err(ending) => self.close(ending, visit),
        };
        visit.connection.note(Pending {
            input: is_filled(&self.input),
            output: self.has_output(),
            ..visit.pending
        });
        give_back(&mut self.input, &mut visit.spare.input);
        give_back(&mut self.output, &mut visit.spare.output);
        step
    }
}

impl<H: Handler> Conversation<H> {
    pub(crate) fn new(handler: Arc<H>) -> Self {
        Self {
            handler,
            session: None,
            input: None,
            output: None,
            file: None,
            short: false,
            ended: false,
            ending: None,
        }
    }

    fn advance(&mut self, visit: &mut Visit<'_>) -> Result<Step, Ending> {
        let mut budget = BUDGET;
        let mut more = true;

        self.check(visit)?;
        self.open(visit)?;
        loop {
            self.take_pushed(visit)?;
            if !self.flush(visit, &mut budget)? {
                return Ok(if budget == 0 { Step::Again } else { Step::Wait });
            }
            let pushed = visit.connection.has_pushed();
            if budget == 0 && (pushed || self.short) {
                return Ok(Step::Again);
            }
            if pushed {
                continue;
            }
            if let Some(ending) = self.ending.take() {
                return Err(ending);
            }
            if self.short {
                self.answer(visit)?;
                continue;
            }
            if visit.connection.is_stopping() {
                return Err(Ending::orderly(CloseReason::Stopped));
            }
            if self.input.as_ref().is_some_and(|input| input.room() == 0) {
                return Err(Ending::orderly(CloseReason::InputFull));
            }
            if !more {
                return Ok(Step::Wait);
            }
            if budget == 0 {
                return Ok(Step::Again);
            }
            match self.receive(visit, &mut budget)? {
                Received::Bytes { more: left } => {
                    more = left;
                    self.answer(visit)?;
                }
                Received::End => {
                    self.ended = true;
                    self.answer(visit)?;
                }
                Received::Nothing => return Ok(Step::Wait),
            }
        }
    }

    /// Whether somebody else has decided that the connection is to end.
    fn check(&mut self, visit: &mut Visit<'_>) -> Result<(), Ending> {
        match visit.connection.verdict() {
            None => Ok(()),
            Some(reason @ (CloseReason::Idle | CloseReason::ReceiveTimeout)) => {
                Err(self.time_out(reason, visit)?)
            }
            Some(reason) => Err(Ending::reset(reason)),
        }
    }

    /// Lets the handler have a last word to a peer that has taken too long.
    fn time_out(&mut self, reason: CloseReason, visit: &mut Visit<'_>) -> Result<Ending, Ending> {
        let is_heard = !self.has_output() && !visit.connection.has_pushed();
        if self.session.is_some() && is_heard {
            self.call(visit, |handler, session, input, output| {
                handler.time_out(session, input, output, reason);
            })?;
        }
        let has_spoken = is_heard && self.has_output();
        if has_spoken {
            // Who takes too long is not waited for: what its socket does not take now is lost.
            let mut budget = BUDGET;
            self.flush(visit, &mut budget)?;
        }
        Ok(if has_spoken || reason == CloseReason::Idle {
            Ending::orderly(reason)
        } else {
            Ending::reset(reason)
        })
    }

    fn open(&mut self, visit: &Visit<'_>) -> Result<(), Ending> {
        if self.session.is_none() {
            let peer = Peer::new(visit.connection);
            self.session = Some(self.handler.open(&peer).map_err(Ending::refused)?);
        }
        Ok(())
    }

    /// Receives into the input.
    fn receive(&mut self, visit: &mut Visit<'_>, budget: &mut usize) -> Result<Received, Ending> {
        match self.input(visit)?.receive(visit.stream) {
            Ok((0, _)) => Ok(Received::End),
            Ok((count, more)) => {
                visit.count(Counter::BytesIn, count);
                trace::receive(visit.connection, count);
                visit.pending.received = true;
                *budget = budget.saturating_sub(count);
                Ok(Received::Bytes { more })
            }
            Err(EAGAIN) => Ok(Received::Nothing),
            Err(error) => Err(Ending::reset(CloseReason::Broken(error))),
        }
    }

    /// Lets the handler answer what is in the input, or the end of it.
    fn answer(&mut self, visit: &mut Visit<'_>) -> Result<(), Ending> {
        let (next, short) = if self.ended {
            let (ended, short) = self.call(visit, H::end)?;
            (ended.map(|()| Next::Receive), short)
        } else {
            visit.count(Counter::Calls, 1);
            self.call(visit, H::receive)?
        };
        // With nothing written there is nothing whose sending could make room.
        self.short = short && self.has_output();
        match next {
            Ok(Next::Receive) if self.short || !self.ended => {}
            Ok(Next::Receive) => self.end_with(CloseReason::Ended),
            Ok(Next::Reset) => return Err(Ending::reset(CloseReason::Handler)),
            Ok(Next::Close) => self.end_with(CloseReason::Handler),
            Err(error) => self.end_with(CloseReason::Failed(error)),
        }
        Ok(())
    }

    /// Sends what is in the output, then ends.
    fn end_with(&mut self, reason: CloseReason) {
        self.short = false;
        self.ending = Some(Ending::orderly(reason));
    }

    /// Calls a method of the handler; says what it returned and whether the output ran short.
    fn call<T>(
        &mut self,
        visit: &mut Visit<'_>,
        method: impl FnOnce(&H, &mut H::Session, &mut Input<'_>, &mut Output<'_>) -> T,
    ) -> Result<(T, bool), Ending> {
        self.input(visit)?;
        self.output(visit)?;
        let (Some(session), Some(input), Some(output)) =
            (&mut self.session, &mut self.input, &mut self.output)
        else {
            return Err(Ending::starved(ENOMEM));
        };
        let before = input.filled().len();
        let mut output = Output::new(output, &mut self.file);
        let result = method(&self.handler, session, &mut Input::new(input), &mut output);
        visit.pending.consumed |= input.filled().len() < before;
        let short = output.ran_short();
        Ok((result, short))
    }

    /// Moves what others have pushed into the output, as far as there is room.
    fn take_pushed(&mut self, visit: &mut Visit<'_>) -> Result<(), Ending> {
        // What is pushed stands behind what the handler has said.
        if visit.connection.has_pushed() && self.file.is_none() {
            visit.connection.take_pushed(self.output(visit)?);
        }
        Ok(())
    }

    /// Sends what is in the output; says whether all of it was sent.
    fn flush(&mut self, visit: &mut Visit<'_>, budget: &mut usize) -> Result<bool, Ending> {
        while let Some(output) = self.output.as_mut().filter(|output| !output.is_empty()) {
            match visit.stream.try_write(output.filled()) {
                Ok(count) => {
                    output.consume(count);
                    visit.count(Counter::BytesOut, count);
                    trace::send(visit.connection, count);
                    visit.pending.sent = true;
                    *budget = budget.saturating_sub(count);
                }
                Err(EAGAIN) => return Ok(false),
                Err(error) => return Err(Ending::reset(CloseReason::Broken(error))),
            }
        }
        self.flush_file(visit, budget)
    }

    /// Sends what is to be sent of a file; says whether all of it was sent.
    fn flush_file(&mut self, visit: &mut Visit<'_>, budget: &mut usize) -> Result<bool, Ending> {
        while let Some(FilePart { file, range }) = &mut self.file {
            if *budget == 0 {
                return Ok(false);
            }
            let left = range.end - range.start;
            match visit.stream.try_send_file(file, range.start, left) {
                Ok(0) => return Err(Ending::reset(CloseReason::Failed(EIO))),
                Ok(count) => {
                    range.start += count as u64;
                    if range.start >= range.end {
                        self.file = None;
                    }
                    visit.count(Counter::BytesOut, count);
                    trace::send(visit.connection, count);
                    visit.pending.sent = true;
                    *budget = budget.saturating_sub(count);
                }
                Err(EAGAIN) => return Ok(false),
                Err(error) => return Err(Ending::reset(CloseReason::Broken(error))),
            }
        }
        Ok(true)
    }

    fn has_output(&self) -> bool {
        is_filled(&self.output) || self.file.is_some()
    }

    fn close(&mut self, ending: Ending, visit: &mut Visit<'_>) -> Step {
        if let Some(session) = self.session.take() {
            self.handler.close(session, ending.reason);
        }
        visit.count(ending.counter, 1);
        trace::close(visit.connection, ending.reason);
        if !ending.reset {
            self.finish(visit);
        }
        Step::Done {
            reset: ending.reset,
        }
    }

    /// Ends the stream towards the peer.
    ///
    /// Closing a socket with unread bytes resets the connection (RFC 2525, section 2.17), which can
    /// cost the peer our last answer; so what has come and is not wanted any more is read first.
    fn finish(&mut self, visit: &mut Visit<'_>) {
        const AT_MOST: usize = 1 << 20;

        let _ = visit.stream.shutdown(Shutdown::Write);
        let Ok(buffer) = self.input(visit) else {
            return;
        };
        let mut discarded = 0;
        while discarded < AT_MOST {
            match buffer.discard(visit.stream) {
                Ok(0) | Err(_) => return,
                Ok(count) => discarded += count,
            }
        }
    }

    fn input(&mut self, visit: &mut Visit<'_>) -> Result<&mut Buffer, Ending> {
        let size = visit.config().input;
        borrow(&mut self.input, &mut visit.spare.input, size)
    }

    fn output(&mut self, visit: &mut Visit<'_>) -> Result<&mut Buffer, Ending> {
        let size = visit.config().output;
        borrow(&mut self.output, &mut visit.spare.output, size)
    }
}

/// The conversation's own buffer; if it has none, a spare one; if there is none, a new one.
fn borrow<'a>(
    own: &'a mut Option<Buffer>,
    spare: &mut Option<Buffer>,
    size: BufferSize,
) -> Result<&'a mut Buffer, Ending> {
    let buffer = match own.take().or_else(|| spare.take()) {
        Some(buffer) => buffer,
        None => Buffer::new(size).map_err(Ending::starved)?,
    };
    Ok(own.insert(buffer))
}

/// Gives a buffer with nothing in it to the next conversation.
fn give_back(own: &mut Option<Buffer>, spare: &mut Option<Buffer>) {
    if let Some(buffer) = own.take_if(|buffer| buffer.is_empty()) {
        spare.get_or_insert(buffer);
    }
}

fn is_filled(buffer: &Option<Buffer>) -> bool {
    buffer.as_ref().is_some_and(|buffer| !buffer.is_empty())
}
