// SPDX-License-Identifier: GPL-2.0

//! Per-connection state machine: receives, calls the handler, sends, until the socket would block.

use super::{
    poll_cx::{
        PollCx,
        Received, //
    },
    CloseAction,
    Step,
    Stop, //
};
use crate::{
    buffer::MUCH,
    connection::trace,
    handler::{
        CloseReason,
        FilePart,
        Handler,
        Input,
        Next,
        Output,
        Peer, //
    },
    net::Shutdown,
    sync::softirq::BhDisabled, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Number of bytes that one poll receives and sends before it lets others have their turn. What is left over
/// after a whole number of packets travels in a small one, so more polls would cost more of these.
const BUDGET: usize = 1 << 20;

/// The state of a conversation, apart from its buffers.
pub(super) struct Exchange<H: Handler> {
    handler: Arc<H>,
    session: Option<H::Session>,
    /// A part of a file that is to be sent behind the output.
    file: Option<FilePart>,
    /// The handler wanted to write more than there was room for: it is to be called again when the
    /// output is sent.
    short: bool,
    /// The handler is to be called where it may sleep: so it said.
    left: bool,
    /// The peer is to be told that nothing more comes, once the output is sent.
    half_closing: bool,
    /// Number of receptions for which much is still expected at once: until it was not so twice in a row,
    /// for the last packet of much is a small one.
    much: u8,
    /// The peer has sent its last byte.
    ended: bool,
    /// The end that follows once the output is sent.
    ending: Option<CloseAction>,
    /// The end that follows at once: found out by a poll that must not sleep, as ending does.
    decided: Option<CloseAction>,
    /// True if one of these, or something that others have to say, may have to be seen to before
    /// anything is received.
    unsettled: bool,
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
            much: 0,
            ended: false,
            ending: None,
            decided: None,
            unsettled: true,
        }
    }

    /// Returns true if there may be something to see to before anything is received.
    #[inline]
    pub(super) fn is_unsettled(&self) -> bool {
        self.unsettled
    }

    /// Notes that there may be something to see to, and something left in the buffers at the end.
    #[inline]
    pub(super) fn unsettle(&mut self, cx: &mut PollCx<'_>) {
        self.unsettled = true;
        cx.leaves_some = true;
    }

    #[inline]
    pub(super) fn drive(&mut self, cx: &mut PollCx<'_>) -> Step {
        match self.advance(cx) {
            Ok(step) => step,
            Err(stop) => self.stop(stop, cx),
        }
    }

    #[cold]
    fn stop(&mut self, stop: Stop, cx: &mut PollCx<'_>) -> Step {
        self.unsettle(cx);
        if let Stop::NeedsProcessContext = stop {
            return Step::NeedsProcessContext;
        }
        match cx.ending.take() {
            Some(ending) if cx.may_sleep() => self.close(ending, cx),
            ending => {
                self.decided = ending;
                Step::NeedsProcessContext
            }
        }
    }

    #[inline]
    fn advance(&mut self, cx: &mut PollCx<'_>) -> Result<Step, Stop> {
        let mut budget = BUDGET;
        let mut more = true;

        if self.unsettled || cx.called {
            self.begin(cx)?;
        }
        loop {
            if self.unsettled {
                if let Some(step) = self.settle(cx, &mut budget)? {
                    return Ok(step);
                }
            }
            if !more {
                return Ok(Step::Wait);
            }
            if budget == 0 {
                return Ok(Step::Again);
            }
            match cx.receive(&mut budget, self.much > 0)? {
                Received::Bytes { count, more: left } => {
                    self.much = if count >= MUCH {
                        2
                    } else {
                        self.much.saturating_sub(1)
                    };
                    more = left;
                }
                Received::End => self.ended = true,
                Received::Nothing => return Ok(Step::Wait),
            }
            self.answer(cx)?;
            // A task that pushes something, or stops the server, has the connection polled again.
            if !cx.flush(&mut budget, self.has_file())? {
                self.unsettle(cx);
            }
        }
    }

    /// Begins a poll, when that takes more than receiving.
    #[inline(never)]
    fn begin(&mut self, cx: &mut PollCx<'_>) -> Result<(), Stop> {
        self.unsettle(cx);
        if self.decided.is_some() || cx.connection.close_request().is_some() {
            let ending = self.decide(cx)?;
            return Err(cx.end(ending));
        }
        if self.session.is_none() {
            self.open(cx)?;
        }
        Ok(())
    }

    /// Sees to what comes before receiving, until there is nothing more or the poll ends: with
    /// what, if so.
    #[inline(never)]
    fn settle(&mut self, cx: &mut PollCx<'_>, budget: &mut usize) -> Result<Option<Step>, Stop> {
        while self.has_to_settle(cx) {
            if let Some(step) = self.settle_next(cx, budget)? {
                return Ok(Some(step));
            }
        }
        self.unsettled = false;
        Ok(None)
    }

    fn has_to_settle(&self, cx: &PollCx<'_>) -> bool {
        self.file.is_some()
            || self.short
            || self.left
            || self.half_closing
            || self.ending.is_some()
            || cx.is_unsettled()
    }

    fn settle_next(
        &mut self,
        cx: &mut PollCx<'_>,
        budget: &mut usize,
    ) -> Result<Option<Step>, Stop> {
        if self.file.is_none() {
            // What is pushed stands behind what the handler has said.
            cx.take_pushed()?;
        }
        if !self.flush(cx, budget)? {
            return Ok(Some(if *budget == 0 {
                Step::Again
            } else {
                Step::Wait
            }));
        }
        let pushed = cx.connection.has_pushed();
        if *budget == 0 && (pushed || self.short) {
            return Ok(Some(Step::Again));
        }
        if pushed {
            return Ok(None);
        }
        if let Some(ending) = self.ending.take() {
            return Err(cx.end(ending));
        }
        if self.half_closing {
            cx.sleep_or_go()?;
            // A connection that is gone already is found out in receiving.
            let _ = cx.stream.shutdown(Shutdown::Write);
            self.half_closing = false;
        }
        if self.short || self.left {
            self.answer_more(cx)?;
            return Ok(None);
        }
        if cx.connection.is_stopping() {
            return Err(cx.end(CloseAction::orderly(CloseReason::Stopped)));
        }
        if cx.is_input_full() {
            return Err(cx.end(CloseAction::orderly(CloseReason::InputFull)));
        }
        Ok(None)
    }

    /// Returns how to end, when that is decided.
    #[cold]
    fn decide(&mut self, cx: &mut PollCx<'_>) -> Result<CloseAction, Stop> {
        if let Some(ending) = self.decided.take() {
            return Ok(ending);
        }
        match cx.connection.close_request() {
            Some(reason @ (CloseReason::Idle | CloseReason::ReceiveTimeout)) => {
                self.time_out(reason, cx)
            }
            Some(reason) => Ok(CloseAction::reset(reason)),
            None => Err(Stop::NeedsProcessContext),
        }
    }

    /// Lets the handler have a last word to a peer that has taken too long.
    fn time_out(&mut self, reason: CloseReason, cx: &mut PollCx<'_>) -> Result<CloseAction, Stop> {
        cx.sleep_or_go()?;
        let is_heard = !self.has_output(cx) && !cx.connection.has_pushed();
        if self.session.is_some() && is_heard {
            self.call(cx, |handler, session, input, output| {
                handler.time_out(session, input, output, reason);
            })?;
        }
        let has_spoken = is_heard && self.has_output(cx);
        if has_spoken {
            // Who takes too long is not waited for: what its socket does not take now is lost.
            let mut budget = BUDGET;
            self.flush(cx, &mut budget)?;
        }
        Ok(if has_spoken || reason == CloseReason::Idle {
            CloseAction::orderly(reason)
        } else {
            CloseAction::reset(reason)
        })
    }

    /// Sends what is in the output, then what is to be sent of a file; says whether all of it was
    /// sent.
    fn flush(&mut self, cx: &mut PollCx<'_>, budget: &mut usize) -> Result<bool, Stop> {
        if !cx.flush(budget, self.has_file())? {
            return Ok(false);
        }
        while let Some(FilePart { file, range }) = &mut self.file {
            if *budget == 0 {
                return Ok(false);
            }
            let sent = cx.send_file(file, range.clone(), budget)?;
            range.start += sent.count as u64;
            if range.start >= range.end {
                self.file = None;
            } else if sent.is_full {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns true if there is anything that the peer has not taken.
    fn has_output(&self, cx: &PollCx<'_>) -> bool {
        cx.has_output() || self.has_file()
    }

    pub(super) fn has_file(&self) -> bool {
        self.file.is_some()
    }

    #[cold]
    fn open(&mut self, cx: &mut PollCx<'_>) -> Result<(), Stop> {
        if H::MAY_SLEEP {
            cx.sleep_or_go()?;
        }
        let peer = Peer::new(cx.mailbox);
        let bh_disabled = Self::disable_bh(cx.may_sleep());
        let opened = self.handler.open(&peer);
        drop(bh_disabled);
        let session = opened.map_err(|error| cx.end(CloseAction::refused(error)))?;
        self.session = Some(session);
        Ok(())
    }

    /// As [`answer`](Self::answer), for when there was no room or the handler could not sleep.
    #[inline(never)]
    fn answer_more(&mut self, cx: &mut PollCx<'_>) -> Result<(), Stop> {
        self.answer(cx)
    }

    /// Lets the handler answer what is in the input, or the end of it. If there is something to see
    /// to after that, but for the output, it is `unsettled`.
    #[inline(always)]
    fn answer(&mut self, cx: &mut PollCx<'_>) -> Result<(), Stop> {
        if self.ended {
            return self.answer_end(cx);
        }
        if H::MAY_SLEEP && self.left {
            cx.sleep_or_go()?;
        }
        self.left = false;
        cx.scratch.stats.calls += 1;
        let (next, short) = if cx.may_sleep() || !H::MAY_SLEEP {
            self.call(cx, |handler, session, input, output| {
                unusual(handler.receive(session, input, output))
            })?
        } else {
            let (tried, short) = self.call(cx, H::try_receive)?;
            let Some(next) = tried.transpose() else {
                self.left = true;
                return Err(Stop::NeedsProcessContext);
            };
            (unusual(next), short)
        };
        if next.is_none() && !short {
            self.short = false;
            return Ok(());
        }
        self.go_on(next.unwrap_or(Ok(Next::Receive)), short, cx)
    }

    #[cold]
    fn answer_end(&mut self, cx: &mut PollCx<'_>) -> Result<(), Stop> {
        if H::MAY_SLEEP {
            cx.sleep_or_go()?;
        }
        self.left = false;
        let (ended, short) = self.call(cx, H::end)?;
        self.go_on(ended.map(|()| Next::Receive), short, cx)
    }

    /// Does what the handler wants next, when that is not just receiving.
    #[cold]
    fn go_on(&mut self, next: Result<Next>, short: bool, cx: &mut PollCx<'_>) -> Result<(), Stop> {
        self.unsettle(cx);
        // With nothing written there is nothing whose sending could make room.
        self.short = short && self.has_output(cx);
        match next {
            Ok(Next::Receive) if self.short || !self.ended => {}
            Ok(Next::Receive) => self.end_with(CloseReason::Ended),
            Ok(Next::Reset) => return Err(cx.end(CloseAction::reset(CloseReason::Handler))),
            Ok(Next::Close) => self.end_with(CloseReason::Handler),
            Ok(Next::HalfClose) => (self.short, self.half_closing) = (false, true),
            Err(error) => self.end_with(CloseReason::Failed(error)),
        }
        Ok(())
    }

    /// Sends what is in the output, then ends.
    fn end_with(&mut self, reason: CloseReason) {
        self.short = false;
        self.ending = Some(CloseAction::orderly(reason));
    }

    /// Calls a method of the handler; says what it returned and whether the output ran short. It is
    /// `unsettled` when there is a file to send, or anything left in the input.
    #[inline(always)]
    fn call<T>(
        &mut self,
        cx: &mut PollCx<'_>,
        method: impl FnOnce(&H, &mut H::Session, &mut Input<'_>, &mut Output<'_>) -> T,
    ) -> Result<(T, bool), Stop> {
        let may_sleep = cx.may_sleep();
        let Some(session) = &mut self.session else {
            return Err(cx.end(CloseAction::starved(ENOMEM)));
        };
        let (input, output) = cx.buffers()?;
        // Behind the buffers, for which there may have to be waited.
        let _bh_disabled = Self::disable_bh(may_sleep);
        let before = input.len();
        let mut output = Output::new(output, &mut self.file);
        let result = method(&self.handler, session, &mut Input::new(input), &mut output);
        let short = output.ran_short();
        let left = input.len();
        if left > 0 || self.file.is_some() {
            self.unsettle(cx);
        }
        cx.pending.consumed |= left < before;
        Ok((result, short))
    }

    /// Lets a handler that does not sleep find the same context in each call: with another it
    /// could not share a spinlock.
    fn disable_bh(may_sleep: bool) -> Option<BhDisabled> {
        (!H::MAY_SLEEP && may_sleep).then(BhDisabled::new)
    }

    fn close(&mut self, ending: CloseAction, cx: &mut PollCx<'_>) -> Step {
        // Who learns of the end finds all of it counted.
        cx.connection.settle(&mut cx.scratch.stats);
        if let Some(session) = self.session.take() {
            let _bh_disabled = Self::disable_bh(cx.may_sleep());
            self.handler.close(session, ending.reason);
        }
        cx.connection.count(ending.counter, 1);
        trace::close(cx.connection, ending.reason);
        // Behind the peer's last byte there is nothing that could be unread: closing does the rest.
        if !ending.reset && !self.ended {
            finish(cx);
        }
        Step::Done {
            reset: ending.reset,
        }
    }
}

/// Returns what a handler wants next, if it is not just receiving.
#[inline]
fn unusual(next: Result<Next>) -> Option<Result<Next>> {
    match next {
        Ok(Next::Receive) => None,
        next => Some(next),
    }
}

/// Ends the stream towards the peer.
///
/// Closing a socket with unread bytes resets the connection (RFC 2525, section 2.17), which can
/// cost the peer our last answer; so what has come and is not wanted any more is read first.
fn finish(cx: &mut PollCx<'_>) {
    const AT_MOST: usize = 1 << 20;

    let stream = cx.stream;
    let _ = stream.shutdown(Shutdown::Write);
    let Ok(buffer) = cx.input() else {
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
