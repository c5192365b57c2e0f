// SPDX-License-Identifier: GPL-2.0

//! Protocol state of a connection.
//!
//! ```text
//!              open() accepts                 the peer's last byte
//!   Opening ───────────────────▶ Open ─────────────────────────────▶ PeerEof
//!      │                          │  receive() closes or fails          │  end() is done
//!      │                          ▼                                     │
//!      │                       Closing ◀────────────────────────────────┘
//!      │                          │  all output is sent
//!      ▼                          ▼
//!   Ending ──────────────────▶ Lingering ─────────────────────────▶ Closed
//!           a poll may sleep              the peer acknowledges
//! ```
//!
//! Every state leads to `Ending` as well: a socket that breaks, a timeout, a full input buffer, or the
//! stop of the server ends a connection whatever it does. A poll that may sleep goes through `Ending`
//! at once. A reset leads to `Closed` without lingering.

use crate::connection::close_action::CloseAction;

/// The condition under which the handler is called again, before anything more is received.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Recall {
    /// The output, for which there was not room enough, is sent.
    OutputSent,
    /// The poll may sleep, which the handler may have to.
    ProcessContext,
}

/// The step of an open connection that is next once its output is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenStep {
    Receive,
    Call(Recall),
    /// The peer is told that nothing more comes.
    HalfClose,
}

/// Protocol state of a connection whose handler's sessions are `S`.
pub(super) enum ConnState<S> {
    /// The handler has not been asked yet whether it wants the connection.
    Opening,
    /// The handler is called with what the peer sends.
    Open { session: S, step: OpenStep },
    /// The peer has sent its last byte, and the handler still has something to say.
    PeerEof { session: S, recall: Recall },
    /// The connection ends once its output is sent.
    Closing {
        session: S,
        peer_eof: bool,
        action: CloseAction,
    },
    /// The connection ends in the next poll that may sleep, whatever is left to be sent.
    Ending {
        session: Option<S>,
        peer_eof: bool,
        action: CloseAction,
    },
    /// The session is gone. The socket has all output and the end of the stream, and the peer has yet to
    /// acknowledge them.
    Lingering,
    /// Nothing is left to be done.
    Closed,
}

impl<S> ConnState<S> {
    /// Returns the session, if there is one.
    #[inline]
    pub(super) fn session(&mut self) -> Option<&mut S> {
        match self {
            Self::Open { session, .. }
            | Self::PeerEof { session, .. }
            | Self::Closing { session, .. } => Some(session),
            Self::Ending { session, .. } => session.as_mut(),
            Self::Opening | Self::Lingering | Self::Closed => None,
        }
    }

    /// Returns true if nothing comes before receiving.
    #[inline]
    pub(super) fn is_receiving(&self) -> bool {
        matches!(
            self,
            Self::Open {
                step: OpenStep::Receive,
                ..
            }
        )
    }

    /// Returns true if the handler has not been asked yet whether it wants the connection.
    pub(super) fn is_opening(&self) -> bool {
        matches!(self, Self::Opening)
    }

    /// Returns true if the peer has sent its last byte, and the handler is to be told or has been.
    #[inline]
    pub(super) fn is_peer_eof(&self) -> bool {
        matches!(self, Self::PeerEof { .. })
    }

    /// Returns the condition under which the handler is called again, if it is.
    pub(super) fn recall(&self) -> Option<Recall> {
        match self {
            Self::Open {
                step: OpenStep::Call(recall),
                ..
            }
            | Self::PeerEof { recall, .. } => Some(*recall),
            _ => None,
        }
    }

    /// Returns how the connection ends once its output is sent, if it does.
    pub(super) fn closing(&self) -> Option<CloseAction> {
        match self {
            Self::Closing { action, .. } => Some(*action),
            _ => None,
        }
    }

    /// Returns how the connection ends in this poll, if that is decided.
    pub(super) fn ending(&self) -> Option<CloseAction> {
        match self {
            Self::Ending { action, .. } => Some(*action),
            _ => None,
        }
    }

    /// Returns true if only the peer's acknowledgement is waited for.
    pub(super) fn is_lingering(&self) -> bool {
        matches!(self, Self::Lingering)
    }

    /// The handler wants the connection.
    pub(super) fn open(&mut self, session: S) {
        *self = Self::Open {
            session,
            step: OpenStep::Receive,
        };
    }

    /// The handler has been called, and the connection goes on with `next`; no change once the peer has
    /// sent its last byte or the connection is closing.
    #[inline]
    pub(super) fn go_on(&mut self, next: OpenStep) {
        if let Self::Open { step, .. } = self {
            *step = next;
        }
    }

    /// The handler is to be called again under that condition.
    pub(super) fn call_again(&mut self, when: Recall) {
        match self {
            Self::Open { step, .. } => *step = OpenStep::Call(when),
            Self::PeerEof { recall, .. } => *recall = when,
            _ => {}
        }
    }

    /// The peer has sent its last byte.
    pub(super) fn reach_peer_eof(&mut self) {
        *self = match self.take() {
            Self::Open { session, .. } => Self::PeerEof {
                session,
                // Should this poll not be able to tell the handler, the next one does.
                recall: Recall::ProcessContext,
            },
            other => other,
        };
    }

    /// The connection ends with `action` once its output is sent.
    pub(super) fn close(&mut self, action: CloseAction) {
        let (session, peer_eof) = self.take().into_parts();
        if let Some(session) = session {
            *self = Self::Closing {
                session,
                peer_eof,
                action,
            };
        }
    }

    /// The connection ends with `action` in the next poll that may sleep.
    pub(super) fn end(&mut self, action: CloseAction) {
        let (session, peer_eof) = self.take().into_parts();
        *self = Self::Ending {
            session,
            peer_eof,
            action,
        };
    }

    /// Takes the state out, and leaves [`Closed`](Self::Closed).
    pub(super) fn take(&mut self) -> Self {
        core::mem::replace(self, Self::Closed)
    }

    /// Returns the session, and true if the peer has sent its last byte.
    pub(super) fn into_parts(self) -> (Option<S>, bool) {
        match self {
            Self::Opening | Self::Lingering | Self::Closed => (None, false),
            Self::Open { session, .. } => (Some(session), false),
            Self::PeerEof { session, .. } => (Some(session), true),
            Self::Closing {
                session, peer_eof, ..
            } => (Some(session), peer_eof),
            Self::Ending {
                session, peer_eof, ..
            } => (session, peer_eof),
        }
    }
}
