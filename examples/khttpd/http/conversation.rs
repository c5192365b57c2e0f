// SPDX-License-Identifier: GPL-2.0

//! One connection: requests in, responses out, in the same order.

use super::{
    body::{
        Framing,
        Receiver, //
    },
    request::{
        self,
        Method,
        Request, //
    },
    response::{
        Head,
        Persistence,
        Reply,
        Start,
        MAX_HEAD, //
    },
    site::{
        Broken,
        Content,
        Sink,
        Site, //
    },
    status::Status, //
};
use core::time::Duration;

/// How long what a request brings may be, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of content: 413 beyond.
    pub content: u64,
    /// Time for a content: 408 after that.
    pub time: Duration,
}

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing until more comes, or until there is room.
    Wait,
    /// Close it when all is sent.
    Close,
    /// Reset it: the client must not take what it got for all.
    Reset,
    /// Go on with a site that has what this one has not.
    Elsewhere,
    /// Tell the client that nothing more comes, when all is sent, and go on.
    HalfClose,
}

/// What follows a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    /// The next request.
    Next,
    /// The end.
    Close,
    /// The end, for a client that may not have said all that it was about to say, and that is to
    /// get the reply all the same (RFC 9112, section 9.6).
    Drain,
}

/// A reply on its way, and what follows it.
#[derive(Debug)]
struct Pending<C> {
    reply: Reply<C>,
    persistence: Persistence,
    then: Then,
    /// Whether the content is only talked about.
    head_only: bool,
}

/// What a connection is at.
#[derive(Debug)]
enum State<C> {
    /// At the start of a request.
    Ready {
        /// The bytes of it that have been looked at.
        seen: usize,
        /// The bytes of empty lines that were before it.
        skipped: usize,
    },
    /// In the content of one, the reply to which is known.
    Receiving {
        receiver: Receiver,
        /// The [uptime](Site::uptime) at its start.
        since: Duration,
        /// Whether the client is still to hear that the content is wanted.
        encourage: bool,
        pending: Pending<C>,
    },
    /// At the start of a reply.
    Replying(Pending<C>),
    /// In the content of one.
    Sending { content: C, then: Then },
    /// Behind the last reply, receiving what the client still sends.
    Draining {
        /// How many bytes it may be.
        left: u64,
        /// The [uptime](Site::uptime) when the client was told of the end, if it has been.
        told: Option<Duration>,
    },
    /// Behind the last reply.
    Closing,
}

impl<C> State<C> {
    const READY: Self = Self::Ready {
        seen: 0,
        skipped: 0,
    };
}

/// A connection.
#[derive(Debug)]
pub struct Conversation<C> {
    state: State<C>,
    start: Start,
}

impl<C> Default for Conversation<C> {
    fn default() -> Self {
        Self {
            state: State::READY,
            start: Start::new(),
        }
    }
}

/// How much a client may still send that has been told of the end.
const MAX_DRAINED: u64 = 64 << 20;

/// How much of the sink a head takes, whatever is in it.
const HEAD_ROOM: usize = MAX_HEAD + 128;
/// The smallest sink that a conversation gets along with.
pub const MIN_ROOM: usize = HEAD_ROOM;

impl<C> Conversation<C> {
    /// Goes on as far as `input` and `sink` allow; returns how many bytes of `input` it has
    /// consumed, and what is to be done next.
    pub fn advance<T, S>(
        &mut self,
        site: &T,
        limits: &Limits,
        input: &[u8],
        sink: &mut S,
    ) -> (usize, Step)
    where
        T: Site<Content = C>,
        S: Sink,
        C: Content<S>,
    {
        let mut consumed = 0;
        loop {
            let rest = &input[consumed..];
            if let State::Ready { seen, skipped } = self.state {
                match self.receive(site, limits, rest, (seen, skipped), sink) {
                    Ok(count) => consumed += count,
                    Err(step) => return (consumed, step),
                }
                continue;
            }
            // Replaced by what comes next; if that cannot be, nothing more is said.
            match core::mem::replace(&mut self.state, State::Closing) {
                // Seen to above.
                ready @ State::Ready { .. } => self.state = ready,
                State::Receiving {
                    mut receiver,
                    since,
                    mut encourage,
                    pending,
                } => {
                    if encourage {
                        const ANSWER: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
                        if sink.room() >= ANSWER.len() {
                            sink.write(ANSWER);
                            encourage = false;
                        } else {
                            sink.wait_for_room();
                        }
                    }
                    let (count, done) = match receiver.take(rest) {
                        _ if site.uptime().saturating_sub(since) > limits.time => {
                            let status = Status::REQUEST_TIMEOUT;
                            self.state = State::Replying(last(status, pending.head_only));
                            continue;
                        }
                        Ok(taken) => taken,
                        Err(status) => {
                            self.state = State::Replying(last(status, pending.head_only));
                            continue;
                        }
                    };
                    consumed += count;
                    if done {
                        self.state = State::Replying(pending);
                    } else {
                        self.state = State::Receiving {
                            receiver,
                            since,
                            encourage,
                            pending,
                        };
                        return (consumed, Step::Wait);
                    }
                }
                State::Replying(pending) => {
                    if sink.room() < HEAD_ROOM {
                        sink.wait_for_room();
                        self.state = State::Replying(pending);
                        return (consumed, Step::Wait);
                    }
                    site.note(pending.reply.status);
                    self.state = write_head(pending, site.now(), sink);
                }
                State::Sending { content, then } if !site.can_send(&content) => {
                    self.state = State::Sending { content, then };
                    return (consumed, Step::Elsewhere);
                }
                State::Sending { mut content, then } => match content.send(sink) {
                    Ok(true) => self.state = after(then),
                    Ok(false) => {
                        self.state = State::Sending { content, then };
                        return (consumed, Step::Wait);
                    }
                    Err(Broken) => return (consumed, Step::Reset),
                },
                State::Draining { left, told } => {
                    let (now, count) = (site.uptime(), rest.len() as u64);
                    let since = told.unwrap_or(now);
                    if count > left || now.saturating_sub(since) > limits.time {
                        continue;
                    }
                    self.state = State::Draining {
                        left: left - count,
                        told: Some(since),
                    };
                    let step = told.map_or(Step::HalfClose, |_| Step::Wait);
                    return (input.len(), step);
                }
                State::Closing => return (consumed, Step::Close),
            }
        }
    }

    /// Goes on at the start of a request, of which `seen` bytes have been looked at, behind `skipped`
    /// bytes of empty lines. Returns how many bytes of `input` it has consumed.
    fn receive<T, S>(
        &mut self,
        site: &T,
        limits: &Limits,
        input: &[u8],
        (seen, skipped): (usize, usize),
        sink: &mut S,
    ) -> Result<usize, Step>
    where
        T: Site<Content = C>,
        S: Sink,
        C: Content<S>,
    {
        // They are no part of the request: a client that sends no more has not begun one.
        let empty = request::leading_empty_lines(input);
        if empty > 0 {
            let skipped = skipped + empty;
            self.state = if skipped > request::MAX_HEAD {
                State::Replying(last(Status::FIELDS_TOO_LARGE, false))
            } else {
                State::Ready { seen: 0, skipped }
            };
            return Ok(empty);
        }
        if !is_worth_a_look(input, seen) {
            return Err(Step::Wait);
        }
        let (request, length) = match request::parse(input) {
            Ok(Some(parsed)) => parsed,
            Ok(None) => {
                let seen = input.len();
                self.state = State::Ready { seen, skipped };
                return Err(Step::Wait);
            }
            Err(status) => {
                self.state = State::Replying(last(status, request::is_head(input)));
                return Ok(0);
            }
        };
        if request.is_plain() && sink.room() >= HEAD_ROOM {
            let now = site.now();
            if let Some(content) = site.ready(&request, now) {
                self.send_ready(site, content, now, sink)?;
                return Ok(length);
            }
        }
        match begin(site, limits, &request) {
            Some(state) => self.state = state,
            None => {
                self.state = State::Ready { seen: 0, skipped };
                return Err(Step::Elsewhere);
            }
        }
        Ok(length)
    }

    /// Answers a request with what was [ready](Site::ready).
    fn send_ready<T, S>(
        &mut self,
        site: &T,
        mut content: C,
        now: i64,
        sink: &mut S,
    ) -> Result<(), Step>
    where
        T: Site<Content = C>,
        S: Sink,
        C: Content<S>,
    {
        site.note(Status::OK);
        sink.write(self.start.at(now));
        self.state = match content.send(sink) {
            Ok(true) => State::READY,
            Ok(false) => State::Sending {
                content,
                then: Then::Next,
            },
            Err(Broken) => return Err(Step::Reset),
        };
        Ok(())
    }

    /// The client has taken too long, with `input` not consumed. What is put into `sink` is the
    /// last that it hears.
    pub fn time_out<T, S>(&mut self, site: &T, input: &[u8], sink: &mut S)
    where
        T: Site<Content = C>,
        S: Sink,
        C: Content<S>,
    {
        let head_only = match &self.state {
            // A carriage return is half of an empty line.
            State::Ready { .. } if !matches!(input, b"" | b"\r") => Some(request::is_head(input)),
            State::Receiving { pending, .. } => Some(pending.head_only),
            _ => None,
        };
        if let Some(head_only) = head_only.filter(|_| sink.room() >= HEAD_ROOM) {
            site.note(Status::REQUEST_TIMEOUT);
            let reply = last::<C>(Status::REQUEST_TIMEOUT, head_only);
            write_head(reply, site.now(), sink);
        }
        self.state = State::Closing;
    }
}

/// The last reply of a connection; without its content if the request was for the head only.
fn last<C>(status: Status, head_only: bool) -> Pending<C> {
    Pending {
        reply: Reply::of(status),
        persistence: Persistence::Close,
        // One that was too slow has had its time.
        then: if status == Status::REQUEST_TIMEOUT {
            Then::Close
        } else {
            Then::Drain
        },
        head_only,
    }
}

fn after<C>(then: Then) -> State<C> {
    match then {
        Then::Next => State::READY,
        Then::Close => State::Closing,
        Then::Drain => State::Draining {
            left: MAX_DRAINED,
            told: None,
        },
    }
}

/// Whether a head that was incomplete with its first `seen` bytes can be complete now, or is to be
/// refused early: one that comes byte by byte is not parsed for each.
fn is_worth_a_look(input: &[u8], seen: usize) -> bool {
    const FEW: usize = 256;

    let fresh = input.get(seen..).unwrap_or(input);
    let passes = |limit| seen < limit && input.len() >= limit;
    !input.is_empty()
        && (input.len() < FEW
            || fresh.len() >= FEW
            || fresh.contains(&b'\n')
            || passes(request::MAX_LINE)
            || passes(request::MAX_HEAD))
}

/// What follows the head of a request; nothing if the site has no reply here.
#[inline(never)]
fn begin<T: Site>(site: &T, limits: &Limits, request: &Request<'_>) -> Option<State<T::Content>> {
    let head_only = request.method == Method::Head;
    let receiver = match Receiver::new(request.framing, limits.content) {
        Ok(receiver) => receiver,
        Err(status) => return Some(State::Replying(last(status, head_only))),
    };
    let reply = match request.method {
        Method::NotAllowed => Reply::of(Status::METHOD_NOT_ALLOWED),
        Method::Unknown => Reply::of(Status::NOT_IMPLEMENTED),
        _ => site.reply(request)?,
    };
    let is_refused = request.expects_continue && reply.status.is_error();
    let persistence = match request.keep_alive {
        // Whether the client still sends the content is not known.
        _ if is_refused => Persistence::Close,
        false => Persistence::Close,
        true if request.is_http10 => Persistence::KeepHttp10,
        true => Persistence::Keep,
    };
    let pending = Pending {
        reply,
        persistence,
        then: match persistence {
            _ if is_refused => Then::Drain,
            Persistence::Close => Then::Close,
            Persistence::Keep | Persistence::KeepHttp10 => Then::Next,
        },
        head_only,
    };
    Some(if request.framing == Framing::None || is_refused {
        State::Replying(pending)
    } else {
        State::Receiving {
            receiver,
            since: site.uptime(),
            encourage: request.expects_continue,
            pending,
        }
    })
}

/// Writes the head of a reply, and all of one that says nothing but its status.
#[inline(never)]
fn write_head<C, S: Sink>(pending: Pending<C>, now: i64, sink: &mut S) -> State<C> {
    let Pending {
        mut reply,
        persistence,
        then,
        head_only,
    } = pending;
    let status = reply.status;
    // For a person who looks at it: `404 Not Found`.
    let explain = reply.content.is_none()
        && !status.is_without_content()
        && reply.length == 0
        && status != Status::OK;
    if explain {
        reply.media = "text/plain; charset=utf-8";
        reply.length = (3 + 1 + status.reason.len() + 1) as u64;
    }
    let head = Head::new(&reply, persistence, now);
    sink.write(head.as_bytes());
    // The content of this one is the rest of its head.
    let is_moved = status == Status::MOVED_PERMANENTLY && reply.content.is_some();
    if !is_moved {
        sink.write(b"\r\n");
    }
    if explain && !head_only {
        let mut code = [0; 3];
        super::date::digits(&mut code, status.code.into());
        sink.write(&code);
        sink.write(b" ");
        sink.write(status.reason.as_bytes());
        sink.write(b"\n");
    }
    match reply.content {
        Some(content) if is_moved || !head_only => State::Sending { content, then },
        _ => after(then),
    }
}
