// SPDX-License-Identifier: GPL-2.0

//! One conversation: socket to handler to output to socket.

mod exchange;
mod turn;

use self::{
    exchange::Exchange,
    turn::Turn, //
};
use crate::{
    buffer::Buffer,
    connection::Connection,
    handler::{
        CloseReason,
        Handler, //
    },
    net::{
        Fragment,
        TcpStream, //
    },
    softirq::Atomically,
    stats::{
        Counter,
        Tally, //
    },
    timers::Pending, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// Memory that waits for a conversation with something to put into it: an idle connection has none
/// of its own.
#[derive(Default)]
pub(crate) struct Spare {
    input: Option<Buffer>,
    output: Option<Buffer>,
    fragment: Fragment,
    /// What visits have counted and nobody has added to the figures of the server yet.
    pub(crate) tally: Tally,
}

/// What a conversation works with during a visit.
pub(crate) struct Visit<'a> {
    pub(crate) connection: &'a Arc<Connection>,
    pub(crate) stream: &'a TcpStream,
    pub(crate) spare: &'a mut Spare,
    /// Where the visit takes place if it must not sleep there.
    pub(crate) atomically: Option<Atomically<'a>>,
}

/// What is to be done with a conversation after a visit.
pub(crate) enum Step {
    /// Nothing until its stream becomes ready.
    Wait,
    /// It has more to do, when others have had their turn.
    Again,
    /// It has something to do for which a visit has to sleep, which this one must not.
    Elsewhere,
    /// It has ended, and was closed.
    Done {
        /// Whether the peer is to see a reset instead of the end of the stream.
        reset: bool,
    },
}

/// A conversation whatever its handler is.
pub(crate) trait Drive: Send {
    /// Whether visits that must not sleep are of any use.
    fn is_atomic(&self) -> bool;

    /// Does what can be done without waiting for the peer. May sleep where the handler does, unless
    /// the visit must not.
    ///
    /// Not to be called again once it has returned [`Step::Done`].
    fn drive(&mut self, visit: Visit<'_>) -> Step;
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

/// Why a visit cannot go on. Small: it comes back from each step of it.
enum Stop {
    /// The conversation ends, as the turn's `ending` says.
    End,
    Elsewhere,
}

/// Whether visits that must not sleep are of any use to a handler.
pub(crate) const fn works_atomically<H: Handler>() -> bool {
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
}

impl<H: Handler> Drive for Conversation<H> {
    fn is_atomic(&self) -> bool {
        works_atomically::<H>()
    }

    fn drive(&mut self, visit: Visit<'_>) -> Step {
        let Visit { spare, .. } = visit;
        let mut turn = Turn {
            connection: visit.connection,
            stream: visit.stream,
            atomically: visit.atomically,
            kept: self.input.is_some() || self.output.is_some(),
            input: own_or_spare(&mut self.input, &mut spare.input),
            output: own_or_spare(&mut self.output, &mut spare.output),
            fragment: &mut spare.fragment,
            tally: &mut spare.tally,
            pending: Pending::default(),
            ending: None,
        };
        let step = self.exchange.drive(&mut turn);
        let pending = turn.pending;

        visit.connection.note(Pending {
            input: keep_or_give_back(&mut self.input, &mut spare.input),
            output: keep_or_give_back(&mut self.output, &mut spare.output)
                || self.exchange.has_file(),
            ..pending
        });
        step
    }
}

/// A conversation without a buffer uses the spare one.
#[inline]
fn own_or_spare<'a>(
    own: &'a mut Option<Buffer>,
    spare: &'a mut Option<Buffer>,
) -> &'a mut Option<Buffer> {
    if own.is_some() {
        own
    } else {
        spare
    }
}

/// At the end of a visit a conversation keeps a buffer in which something is left, and gives back
/// one in which nothing is. Says whether it has kept one.
#[inline(always)]
fn keep_or_give_back(own: &mut Option<Buffer>, spare: &mut Option<Buffer>) -> bool {
    match own {
        None => {
            if spare.as_ref().is_some_and(|buffer| !buffer.is_empty()) {
                *own = spare.take();
            }
        }
        Some(buffer) if buffer.is_empty() => {
            let empty = own.take();
            if spare.is_none() {
                *spare = empty;
            }
        }
        Some(_) => {}
    }
    own.is_some()
}
