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
//! Every state also leads to `Ending`: a broken socket, a timeout, a full input buffer, or the stop
//! of the server ends a connection in any state. A poll that may sleep passes through `Ending` at
//! once. A reset leads to `Closed` without lingering.

use crate::connection::close_action::CloseAction;

/// The condition under which the handler is called again, before the connection receives more.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Recall {
    /// The output, which had run short of room, is sent.
    OutputSent,
    /// The poll may sleep, as the handler may have to.
    ProcessContext,
}

/// The next step of an open connection, once its output is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenStep {
    Receive,
    Call(Recall),
    /// Tell the peer that no more bytes follow.
    HalfClose,
}

/// Protocol state of a connection whose handler's sessions are `S`.
pub(super) enum ConnState<S> {
    /// The handler has not accepted the connection yet.
    Opening,
    /// The handler is called with the bytes that the peer sends.
    Open { session: S, step: OpenStep },
    /// The peer has sent its last byte, and the handler is to be called again.
    PeerEof { session: S, recall: Recall },
    /// The connection ends once its output is sent.
    Closing {
        session: S,
        peer_eof: bool,
        action: CloseAction,
    },
    /// The connection ends in the next poll that may sleep, even if output is left.
    Ending {
        session: Option<S>,
        peer_eof: bool,
        action: CloseAction,
    },
    /// The session is gone. The socket has all output and the end of the stream, and the peer has yet to
    /// acknowledge them.
    Lingering,
    /// The connection has ended.
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

    /// Returns true if receiving is the next step.
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

    /// Returns true if the handler has not accepted the connection yet.
    pub(super) fn is_opening(&self) -> bool {
        matches!(self, Self::Opening)
    }

    /// Returns true if the peer has sent its last byte and the connection is not closing yet.
    #[inline]
    pub(super) fn is_peer_eof(&self) -> bool {
        matches!(self, Self::PeerEof { .. })
    }

    /// Returns the condition under which the handler is called again, if any.
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

    /// Returns how the connection ends once its output is sent, if it is closing.
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

    /// Returns true if the connection waits only for the peer's acknowledgement.
    pub(super) fn is_lingering(&self) -> bool {
        matches!(self, Self::Lingering)
    }

    /// Opens the connection, which the handler has accepted.
    pub(super) fn open(&mut self, session: S) {
        *self = Self::Open {
            session,
            step: OpenStep::Receive,
        };
    }

    /// Sets the next step of an open connection. Does nothing once the peer has sent its last byte
    /// or the connection is closing.
    #[inline]
    pub(super) fn go_on(&mut self, next: OpenStep) {
        if let Self::Open { step, .. } = self {
            *step = next;
        }
    }

    /// Has the handler called again under the condition `when`.
    pub(super) fn call_again(&mut self, when: Recall) {
        match self {
            Self::Open { step, .. } => *step = OpenStep::Call(when),
            Self::PeerEof { recall, .. } => *recall = when,
            _ => {}
        }
    }

    /// Records that the peer has sent its last byte.
    pub(super) fn reach_peer_eof(&mut self) {
        *self = match self.take() {
            Self::Open { session, .. } => Self::PeerEof {
                session,
                // If this poll cannot call the handler, the next one does.
                recall: Recall::ProcessContext,
            },
            other => other,
        };
    }

    /// Ends the connection with `action` once its output is sent.
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

    /// Ends the connection with `action` in the next poll that may sleep.
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
