// SPDX-License-Identifier: GPL-2.0

//! Per-connection state machine: receives, calls the handler, sends, until the socket would block.

use super::{
    conn_state::{
        ConnState,
        OpenStep,
        Recall, //
    },
    Drive, //
};
use crate::{
    buffer::MUCH,
    connection::{
        close_action::CloseAction,
        poll_cx::{
            PollCx,
            Received,
            Stop, //
        },
        trace, //
    },
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
    stats::Counter,
    sync::softirq::BhDisabled, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Number of bytes that one poll receives and sends before other connections have their turn.
///
/// The bytes beyond a whole number of packets travel in a small packet, so shorter polls would cost
/// more of these.
const BUDGET: usize = 1 << 20;

/// The state machine of a connection, without its buffers.
pub(super) struct Protocol<H: Handler> {
    handler: Arc<H>,
    state: ConnState<H::Session>,
    /// A part of a file that is to be sent behind the output.
    file: Option<FilePart>,
    /// Number of receptions for which many bytes are still expected at once. Two small receptions
    /// in a row end that; a single one may be the last packet of many.
    much: u8,
    /// True if another step may come before receiving: because of the state, unsent output, or the
    /// inbox.
    attention: bool,
}

impl<H: Handler> Protocol<H> {
    pub(super) fn new(handler: Arc<H>) -> Self {
        Self {
            handler,
            state: ConnState::Opening,
            file: None,
            much: 0,
            attention: true,
        }
    }

    /// Returns true if another step may come before receiving.
    #[inline]
    pub(super) fn needs_attention(&self) -> bool {
        self.attention
    }

    /// Records that another step may come before receiving, and that the buffers may hold bytes
    /// when the poll ends.
    #[inline]
    pub(super) fn need_attention(&mut self, cx: &mut PollCx<'_>) {
        self.attention = true;
        cx.leaves_some = true;
    }

    #[inline]
    pub(super) fn drive(&mut self, cx: &mut PollCx<'_>) -> Drive {
        match self.advance(cx) {
            Ok(result) => result,
            Err(stop) => self.stop(stop, cx),
        }
    }

    #[cold]
    fn stop(&mut self, stop: Stop, cx: &mut PollCx<'_>) -> Drive {
        self.need_attention(cx);
        match (stop, cx.ending.take()) {
            (Stop::End, Some(action)) if cx.may_sleep() => return self.close(action, cx),
            (Stop::End, Some(action)) => self.state.end(action),
            _ => {}
        }
        Drive::NeedsProcessContext
    }

    #[inline]
    fn advance(&mut self, cx: &mut PollCx<'_>) -> Result<Drive, Stop> {
        let mut budget = BUDGET;
        let mut more = true;

        if self.attention || cx.slow_path {
            if self.state.is_lingering() {
                return self.linger(cx);
            }
            self.begin(cx)?;
        }
        loop {
            if self.attention {
                if let Some(result) = self.before_receiving(cx, &mut budget)? {
                    return Ok(result);
                }
            }
            if !more {
                return Ok(Drive::Wait);
            }
            if budget == 0 {
                return Ok(Drive::Again);
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
                Received::End => self.state.reach_peer_eof(),
                Received::Nothing => return Ok(Drive::Wait),
            }
            self.answer(cx)?;
            // The inbox needs no check here: a task that pushes data or stops the server has the
            // connection polled again.
            if !cx.flush(&mut budget, self.has_file())? {
                self.need_attention(cx);
            }
        }
    }

    /// Begins a poll that may take other steps than receiving.
    #[inline(never)]
    fn begin(&mut self, cx: &mut PollCx<'_>) -> Result<(), Stop> {
        self.need_attention(cx);
        if let Some(action) = self.state.ending() {
            return Err(cx.end(action));
        }
        if let Some(reason) = cx.conn.inbox.close_request() {
            let action = self.requested(reason, cx)?;
            return Err(cx.end(action));
        }
        if self.state.is_opening() {
            self.open(cx)?;
        }
        Ok(())
    }

    /// Takes the steps that come before receiving. Returns the result of the poll if one of them
    /// ends it.
    #[inline(never)]
    fn before_receiving(
        &mut self,
        cx: &mut PollCx<'_>,
        budget: &mut usize,
    ) -> Result<Option<Drive>, Stop> {
        while self.file.is_some() || !self.state.is_receiving() || cx.needs_attention() {
            if let Some(result) = self.next_step(cx, budget)? {
                return Ok(Some(result));
            }
        }
        self.attention = false;
        Ok(None)
    }

    /// Sends the output, then takes the step that the state asks for.
    fn next_step(
        &mut self,
        cx: &mut PollCx<'_>,
        budget: &mut usize,
    ) -> Result<Option<Drive>, Stop> {
        if self.file.is_none() {
            // Pushed data follows the handler's output, which ends with the file.
            cx.take_pushed()?;
        }
        if !self.flush(cx, budget)? {
            return Ok(Some(if *budget == 0 {
                Drive::Again
            } else {
                Drive::Wait
            }));
        }
        let pushed = cx.has_pushed();
        if *budget == 0 && (pushed || self.state.recall() == Some(Recall::OutputSent)) {
            return Ok(Some(Drive::Again));
        }
        if pushed {
            return Ok(None);
        }
        if let Some(action) = self.state.closing() {
            return Err(cx.end(action));
        }
        if let Some(recall) = self.state.recall() {
            if recall == Recall::ProcessContext {
                cx.sleep_or_go()?;
            }
            self.answer_more(cx)?;
            return Ok(None);
        }
        if !self.state.is_receiving() {
            cx.sleep_or_go()?;
            // If the connection is gone already, receiving fails.
            let _ = cx.stream.shutdown(Shutdown::Write);
            self.state.go_on(OpenStep::Receive);
        }
        if cx.is_stopping() {
            return Err(cx.end(CloseAction::orderly(CloseReason::Stopped)));
        }
        if cx.is_input_full() {
            return Err(cx.end(CloseAction::orderly(CloseReason::InputFull)));
        }
        Ok(None)
    }

    /// Returns how the connection ends for a reason that another task has requested.
    #[cold]
    fn requested(&mut self, reason: CloseReason, cx: &mut PollCx<'_>) -> Result<CloseAction, Stop> {
        match reason {
            CloseReason::Idle | CloseReason::ReceiveTimeout => self.time_out(reason, cx),
            _ => Ok(CloseAction::reset(reason)),
        }
    }

    /// Has the handler answer a peer that has taken too long, if no output still waits for that
    /// peer. Returns how the connection ends.
    fn time_out(&mut self, reason: CloseReason, cx: &mut PollCx<'_>) -> Result<CloseAction, Stop> {
        cx.sleep_or_go()?;
        let is_heard = !self.has_output(cx) && !cx.has_pushed();
        if is_heard && self.state.session().is_some() {
            self.call(cx, |handler, session, input, output| {
                handler.time_out(session, input, output, reason);
            })?;
        }
        let has_spoken = is_heard && self.has_output(cx);
        if has_spoken {
            // The server does not wait for this peer: if the socket does not take all output now,
            // the end is a reset.
            let mut budget = BUDGET;
            self.flush(cx, &mut budget)?;
        }
        Ok(if has_spoken || reason == CloseReason::Idle {
            CloseAction::orderly(reason)
        } else {
            CloseAction::reset(reason)
        })
    }

    /// Sends the output, then the part of a file, if any. Returns true if the socket took all of
    /// it.
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

    /// Returns true if there is output that the socket has not taken.
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
        self.state.open(session);
        Ok(())
    }

    /// Calls [`answer`](Self::answer) again after the output had no room or the handler could not
    /// sleep.
    #[inline(never)]
    fn answer_more(&mut self, cx: &mut PollCx<'_>) -> Result<(), Stop> {
        self.answer(cx)
    }

    /// Calls the handler with the input, or with the end of it. Sets `attention` if another step
    /// than sending the output comes before receiving after that.
    #[inline(always)]
    fn answer(&mut self, cx: &mut PollCx<'_>) -> Result<(), Stop> {
        if self.state.is_peer_eof() {
            return self.answer_end(cx);
        }
        cx.scratch.stats.calls += 1;
        let (next, short) = if cx.may_sleep() || !H::MAY_SLEEP {
            self.call(cx, |handler, session, input, output| {
                unusual(handler.receive(session, input, output))
            })?
        } else {
            let (tried, short) = self.call(cx, H::try_receive)?;
            let Some(next) = tried.transpose() else {
                return Err(self.call_in_process_context());
            };
            (unusual(next), short)
        };
        if next.is_none() && !short {
            self.state.go_on(OpenStep::Receive);
            return Ok(());
        }
        self.go_on(next.unwrap_or(Ok(Next::Receive)), short, cx)
    }

    #[cold]
    fn answer_end(&mut self, cx: &mut PollCx<'_>) -> Result<(), Stop> {
        if H::MAY_SLEEP {
            cx.sleep_or_go()?;
        }
        let (ended, short) = self.call(cx, H::end)?;
        self.go_on(ended.map(|()| Next::Receive), short, cx)
    }

    /// Has the handler called in the next poll that may sleep.
    #[cold]
    fn call_in_process_context(&mut self) -> Stop {
        self.state.call_again(Recall::ProcessContext);
        Stop::NeedsProcessContext
    }

    /// Takes the step that the handler asks for, when it is not plain receiving.
    #[cold]
    fn go_on(&mut self, next: Result<Next>, short: bool, cx: &mut PollCx<'_>) -> Result<(), Stop> {
        self.need_attention(cx);
        match next {
            // Without output, sending cannot make room.
            Ok(Next::Receive) if short && self.has_output(cx) => {
                self.state.call_again(Recall::OutputSent);
            }
            Ok(Next::Receive) if self.state.is_peer_eof() => self.end_with(CloseReason::Ended),
            Ok(Next::Receive) => self.state.go_on(OpenStep::Receive),
            Ok(Next::Reset) => return Err(cx.end(CloseAction::reset(CloseReason::Handler))),
            Ok(Next::Close) => self.end_with(CloseReason::Handler),
            Ok(Next::HalfClose) => self.state.go_on(OpenStep::HalfClose),
            Err(error) => self.end_with(CloseReason::Failed(error)),
        }
        Ok(())
    }

    /// Ends the connection for `reason` once its output is sent.
    fn end_with(&mut self, reason: CloseReason) {
        self.state.close(CloseAction::orderly(reason));
    }

    /// Calls a method of the handler. Returns its result, and true if the output ran short. Sets
    /// `attention` if there is a file to send, or input is left.
    #[inline(always)]
    fn call<T>(
        &mut self,
        cx: &mut PollCx<'_>,
        method: impl FnOnce(&H, &mut H::Session, &mut Input<'_>, &mut Output<'_>) -> T,
    ) -> Result<(T, bool), Stop> {
        let may_sleep = cx.may_sleep();
        let Some(session) = self.state.session() else {
            return Err(cx.end(CloseAction::reset(CloseReason::Failed(EINVAL))));
        };
        let (input, output) = match cx.buffers() {
            Ok(buffers) => buffers,
            // Received input already waits for the handler.
            Err(Stop::NeedsProcessContext) => return Err(self.call_in_process_context()),
            Err(stop) => return Err(stop),
        };
        // After the buffers, whose allocation may sleep.
        let _bh_disabled = Self::disable_bh(may_sleep);
        let before = input.len();
        let mut output = Output::new(output, &mut self.file);
        let result = method(&self.handler, session, &mut Input::new(input), &mut output);
        let short = output.ran_short();
        let left = input.len();
        if left > 0 || self.file.is_some() {
            self.need_attention(cx);
        }
        cx.pending.consumed |= left < before;
        Ok((result, short))
    }

    /// Disables bottom halves for a handler that does not sleep, so that all of its calls have the
    /// same context. Otherwise they could not share a spinlock.
    fn disable_bh(may_sleep: bool) -> Option<BhDisabled> {
        (!H::MAY_SLEEP && may_sleep).then(BhDisabled::new)
    }

    /// Ends the session and the stream. The end is a reset if the socket has not taken all output,
    /// because an orderly end tells the peer that there was no more.
    fn close(&mut self, action: CloseAction, cx: &mut PollCx<'_>) -> Drive {
        let is_cut_short = !self.close_inbox(&action, cx);
        // Counters are flushed before the peer can observe the end.
        cx.env.counters.add_batch(&mut cx.scratch.stats);
        let (session, peer_eof) = self.state.take().into_parts();
        if let Some(session) = session {
            let _bh_disabled = Self::disable_bh(cx.may_sleep());
            self.handler.close(session, action.reason);
        }
        cx.env.counters.add(action.counter, 1);
        trace::close(cx.env, cx.conn, action.reason);
        if action.reset || is_cut_short {
            return Drive::Done { reset: true };
        }
        // Only the server's own end of the stream is left to be sent, and no byte can be unread:
        // dropping the stream is enough. A server that stops waits until the peer has acknowledged
        // that end, too.
        if peer_eof && cx.stream.is_acknowledged() && !cx.is_stopping() {
            return Drive::Done { reset: false };
        }
        let _ = cx.stream.shutdown(Shutdown::Write);
        if !peer_eof {
            discard(cx);
        }
        // TCP ends a lingering connection whose peer is silent. Where TCP cannot, the idle timeout
        // does. With neither, the peer would decide how long the connection counts towards the
        // server's limit.
        let is_limited = || {
            let limited = cx.stream.limit_silence(cx.env.config.close_timeout);
            limited.is_ok() || cx.env.config.timeouts.idle.is_some()
        };
        match cx.stream.is_delivered() {
            Ok(false) if is_limited() => {}
            // TCP does not try again to send the end of the stream: only a reset tells the peer.
            Err(ENOMEM) => return Drive::Done { reset: true },
            _ => return Drive::Done { reset: false },
        }
        self.begin_to_linger(cx);
        Drive::Wait
    }

    /// Closes the inbox. Data that was pushed since the end was decided, perhaps before this poll,
    /// is sent if the end is orderly and all other output is sent. Returns true if the socket took
    /// everything.
    fn close_inbox(&mut self, action: &CloseAction, cx: &mut PollCx<'_>) -> bool {
        let pushed = cx.conn.inbox.close();
        if self.has_output(cx) {
            return false;
        }
        let Some(mut pushed) = pushed else {
            return true;
        };
        if action.reset {
            return false;
        }
        // The output is empty, and as large as `pushed`.
        let Ok((_, output)) = cx.buffers() else {
            return false;
        };
        output.append_from(&mut pushed);
        let mut budget = BUDGET;
        matches!(cx.flush(&mut budget, false), Ok(true))
    }

    /// Begins to wait until the peer has acknowledged everything. Until then the connection counts
    /// towards the server's limit, and holds no buffer.
    fn begin_to_linger(&mut self, cx: &mut PollCx<'_>) {
        self.state = ConnState::Lingering;
        if let Some(input) = &mut cx.scratch.input {
            input.consume(usize::MAX);
        }
        cx.conn.inbox.clear_timeout();
        // The timeouts start anew.
        cx.pending.sent = true;
    }

    /// Ends the connection once the peer has acknowledged everything, or takes too long for that.
    #[cold]
    fn linger(&mut self, cx: &mut PollCx<'_>) -> Result<Drive, Stop> {
        self.need_attention(cx);
        cx.sleep_or_go()?;
        match cx.stream.is_delivered() {
            Ok(true) => return Ok(Drive::Done { reset: false }),
            Ok(false) if cx.conn.inbox.close_request().is_none() => {
                discard(cx);
                return Ok(Drive::Wait);
            }
            _ => {}
        }
        cx.env.counters.add(Counter::Unacknowledged, 1);
        Ok(Drive::Done { reset: true })
    }
}

/// Returns the step that a handler asks for, if it is not plain receiving.
#[inline]
fn unusual(next: Result<Next>) -> Option<Result<Next>> {
    match next {
        Ok(Next::Receive) => None,
        next => Some(next),
    }
}

/// Discards received bytes, because closing a socket with unread bytes resets the connection (RFC
/// 2525, section 2.17), which can cost the peer the last answer.
fn discard(cx: &mut PollCx<'_>) {
    const AT_MOST: usize = 1 << 20;

    let stream = cx.stream;
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
