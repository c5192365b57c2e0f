// SPDX-License-Identifier: GPL-2.0

//! What a handler and its peer have to say to each other.

use super::{
    turn::{
        Received,
        Turn, //
    },
    Ending,
    Step,
    Stop, //
};
use crate::{
    buffer::MUCH,
    handler::{
        CloseReason,
        FilePart,
        Handler,
        Input,
        Next,
        Output, //
    },
    net::Shutdown,
    peer::Peer,
    softirq::SoftirqsOff,
    trace, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// How much one visit receives and sends before it lets others have their turn.
const BUDGET: usize = 256 << 10;

/// The state of a conversation, apart from its buffers.
pub(super) struct Exchange<H: Handler> {
    handler: Arc<H>,
    session: Option<H::Session>,
    /// What is to be sent behind the output.
    file: Option<FilePart>,
    /// The handler wanted to write more than there was room for: it is to be called again when the
    /// output is sent.
    short: bool,
    /// The handler is to be called where it may sleep: so it said.
    left: bool,
    /// The peer is to be told that nothing more comes, once the output is sent.
    half_closing: bool,
    /// Much is expected to be received at once, as it was the last time.
    much: bool,
    /// The peer has sent its last byte.
    ended: bool,
    /// How to end once the output is sent.
    ending: Option<Ending>,
    /// How to end at once: found out by a visit that must not sleep, as ending does.
    decided: Option<Ending>,
}

impl<H: Handler> Exchange<H> {
    pub(super) fn new(handler: Arc<H>) -> Self {
        Self {
            handler,
            session: None,
            file: None,
            short: false,
            left: false,
            half_closing: false,
            much: false,
            ended: false,
            ending: None,
            decided: None,
        }
    }

    pub(super) fn drive(&mut self, turn: &mut Turn<'_>) -> Step {
        match self.advance(turn) {
            Ok(step) => step,
            Err(Stop::Elsewhere) => Step::Elsewhere,
            Err(Stop::End) => self.end(turn),
        }
    }

    #[cold]
    fn end(&mut self, turn: &mut Turn<'_>) -> Step {
        match turn.ending.take() {
            Some(ending) if turn.may_sleep() => self.close(ending, turn),
            ending => {
                self.decided = ending;
                Step::Elsewhere
            }
        }
    }

    fn advance(&mut self, turn: &mut Turn<'_>) -> Result<Step, Stop> {
        let mut budget = BUDGET;
        let mut more = true;

        self.check(turn)?;
        if self.session.is_none() {
            self.open(turn)?;
        }
        let mut unsettled = self.is_unsettled() || turn.may_be_unsettled();
        loop {
            if unsettled {
                if let Some(step) = self.settle(turn, &mut budget)? {
                    return Ok(step);
                }
                unsettled = self.is_unsettled() || turn.is_unsettled();
                continue;
            }
            if !more {
                return Ok(Step::Wait);
            }
            if budget == 0 {
                return Ok(Step::Again);
            }
            match turn.receive(&mut budget, self.much)? {
                Received::Bytes { count, more: left } => {
                    self.much = count >= MUCH;
                    more = left;
                }
                Received::End => self.ended = true,
                Received::Nothing => return Ok(Step::Wait),
            }
            self.answer(turn)?;
            // Whoever pushes something, or stops the server, has the connection visited again.
            let sent = turn.flush(&mut budget, self.has_file())?;
            unsettled = !sent || self.is_unsettled() || turn.is_input_full();
        }
    }

    /// Whether there is something to see to before anything is received.
    #[inline]
    fn is_unsettled(&self) -> bool {
        self.file.is_some() || self.short || self.left || self.half_closing || self.ending.is_some()
    }

    /// Sees to what comes before receiving. Returns what the visit ends with, if it does.
    #[inline(never)]
    fn settle(&mut self, turn: &mut Turn<'_>, budget: &mut usize) -> Result<Option<Step>, Stop> {
        if self.file.is_none() {
            // What is pushed stands behind what the handler has said.
            turn.take_pushed()?;
        }
        if !self.flush(turn, budget)? {
            return Ok(Some(if *budget == 0 {
                Step::Again
            } else {
                Step::Wait
            }));
        }
        let pushed = turn.connection.has_pushed();
        if *budget == 0 && (pushed || self.short) {
            return Ok(Some(Step::Again));
        }
        if pushed {
            return Ok(None);
        }
        if let Some(ending) = self.ending.take() {
            return Err(turn.end(ending));
        }
        if self.half_closing {
            turn.sleep_or_go()?;
            // A connection that is gone already is found out in receiving.
            let _ = turn.stream.shutdown(Shutdown::Write);
            self.half_closing = false;
        }
        if self.short || self.left {
            self.answer(turn)?;
            return Ok(None);
        }
        if turn.connection.is_stopping() {
            return Err(turn.end(Ending::orderly(CloseReason::Stopped)));
        }
        if turn.is_input_full() {
            return Err(turn.end(Ending::orderly(CloseReason::InputFull)));
        }
        Ok(None)
    }

    /// Whether it is decided already that the connection is to end.
    #[inline]
    fn check(&mut self, turn: &mut Turn<'_>) -> Result<(), Stop> {
        if self.decided.is_none() && turn.connection.verdict().is_none() {
            return Ok(());
        }
        let ending = self.decide(turn)?;
        Err(turn.end(ending))
    }

    /// How to end, when that is decided.
    #[cold]
    fn decide(&mut self, turn: &mut Turn<'_>) -> Result<Ending, Stop> {
        if let Some(ending) = self.decided.take() {
            return Ok(ending);
        }
        match turn.connection.verdict() {
            Some(reason @ (CloseReason::Idle | CloseReason::ReceiveTimeout)) => {
                self.time_out(reason, turn)
            }
            Some(reason) => Ok(Ending::reset(reason)),
            None => Err(Stop::Elsewhere),
        }
    }

    /// Lets the handler have a last word to a peer that has taken too long.
    fn time_out(&mut self, reason: CloseReason, turn: &mut Turn<'_>) -> Result<Ending, Stop> {
        turn.sleep_or_go()?;
        let is_heard = !self.has_output(turn) && !turn.connection.has_pushed();
        if self.session.is_some() && is_heard {
            self.call(turn, |handler, session, input, output| {
                handler.time_out(session, input, output, reason);
            })?;
        }
        let has_spoken = is_heard && self.has_output(turn);
        if has_spoken {
            // Who takes too long is not waited for: what its socket does not take now is lost.
            let mut budget = BUDGET;
            self.flush(turn, &mut budget)?;
        }
        Ok(if has_spoken || reason == CloseReason::Idle {
            Ending::orderly(reason)
        } else {
            Ending::reset(reason)
        })
    }

    /// Sends what is in the output, then what is to be sent of a file; says whether all of it was
    /// sent.
    fn flush(&mut self, turn: &mut Turn<'_>, budget: &mut usize) -> Result<bool, Stop> {
        if !turn.flush(budget, self.has_file())? {
            return Ok(false);
        }
        while let Some(FilePart { file, range }) = &mut self.file {
            // It may have to wait for the disk.
            turn.sleep_or_go()?;
            if *budget == 0 {
                return Ok(false);
            }
            let count = match turn.send_file(file, range.clone(), budget)? {
                0 => return Ok(false),
                count => count,
            };
            range.start += count as u64;
            if range.start >= range.end {
                self.file = None;
            }
        }
        Ok(true)
    }

    /// Whether there is anything that the peer has not taken.
    fn has_output(&self, turn: &Turn<'_>) -> bool {
        turn.has_output() || self.has_file()
    }

    pub(super) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    #[cold]
    fn open(&mut self, turn: &mut Turn<'_>) -> Result<(), Stop> {
        turn.sleep_or_go()?;
        let peer = Peer::new(turn.connection);
        let awake = Self::stay_awake(turn.may_sleep());
        let opened = self.handler.open(&peer);
        drop(awake);
        let session = opened.map_err(|error| turn.end(Ending::refused(error)))?;
        self.session = Some(session);
        Ok(())
    }

    /// Lets the handler answer what is in the input, or the end of it.
    fn answer(&mut self, turn: &mut Turn<'_>) -> Result<(), Stop> {
        if H::MAY_SLEEP && (self.ended || self.left) {
            turn.sleep_or_go()?;
        }
        self.left = false;
        let (next, short) = if self.ended {
            let (ended, short) = self.call(turn, H::end)?;
            (ended.map(|()| Next::Receive), short)
        } else {
            turn.tally.calls += 1;
            if turn.may_sleep() || !H::MAY_SLEEP {
                self.call(turn, H::receive)?
            } else {
                let (tried, short) = self.call(turn, H::try_receive)?;
                let Some(next) = tried.transpose() else {
                    self.left = true;
                    return Err(Stop::Elsewhere);
                };
                (next, short)
            }
        };
        // With nothing written there is nothing whose sending could make room.
        self.short = short && self.has_output(turn);
        match next {
            Ok(Next::Receive) if self.short || !self.ended => {}
            Ok(Next::Receive) => self.end_with(CloseReason::Ended),
            Ok(Next::Reset) => return Err(turn.end(Ending::reset(CloseReason::Handler))),
            Ok(Next::Close) => self.end_with(CloseReason::Handler),
            Ok(Next::HalfClose) => (self.short, self.half_closing) = (false, true),
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
        turn: &mut Turn<'_>,
        method: impl FnOnce(&H, &mut H::Session, &mut Input<'_>, &mut Output<'_>) -> T,
    ) -> Result<(T, bool), Stop> {
        let may_sleep = turn.may_sleep();
        let Some(session) = &mut self.session else {
            return Err(turn.end(Ending::starved(ENOMEM)));
        };
        let (input, output) = turn.buffers()?;
        // Behind the buffers, for which there may have to be waited.
        let _awake = Self::stay_awake(may_sleep);
        let before = input.len();
        let mut output = Output::new(output, &mut self.file);
        let result = method(&self.handler, session, &mut Input::new(input), &mut output);
        let consumed = input.len() < before;
        let short = output.ran_short();
        turn.pending.consumed |= consumed;
        Ok((result, short))
    }

    /// What lets a handler that does not sleep find the same context in each call: with another it
    /// could not share a spinlock.
    fn stay_awake(may_sleep: bool) -> Option<SoftirqsOff> {
        (!H::MAY_SLEEP && may_sleep).then(SoftirqsOff::new)
    }

    fn close(&mut self, ending: Ending, turn: &mut Turn<'_>) -> Step {
        // Who learns of the end finds all of it counted.
        turn.connection.settle(turn.tally);
        if let Some(session) = self.session.take() {
            let _awake = Self::stay_awake(turn.may_sleep());
            self.handler.close(session, ending.reason);
        }
        turn.connection.count(ending.counter, 1);
        trace::close(turn.connection, ending.reason);
        if !ending.reset {
            finish(turn);
        }
        Step::Done {
            reset: ending.reset,
        }
    }
}

/// Ends the stream towards the peer.
///
/// Closing a socket with unread bytes resets the connection (RFC 2525, section 2.17), which can
/// cost the peer our last answer; so what has come and is not wanted any more is read first.
fn finish(turn: &mut Turn<'_>) {
    const AT_MOST: usize = 1 << 20;

    let stream = turn.stream;
    let _ = stream.shutdown(Shutdown::Write);
    let Ok(buffer) = turn.input() else {
        return;
    };
    let mut discarded = 0;
    while discarded < AT_MOST {
        match buffer.discard(stream) {
            Ok(0) | Err(_) => return,
            Ok(count) => discarded += count,
        }
    }
}
