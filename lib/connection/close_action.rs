// SPDX-License-Identifier: GPL-2.0

//! The way in which a connection ends.

use crate::{
    handler::CloseReason,
    stats::Counter, //
};
use kernel::prelude::*;

/// The way in which a connection ends.
#[derive(Clone, Copy)]
pub(super) struct CloseAction {
    pub(super) reason: CloseReason,
    pub(super) counter: Counter,
    /// True if the peer is to see a reset instead of the end of the stream.
    pub(super) reset: bool,
}

impl CloseAction {
    /// Returns an orderly end: the peer reads the end of the stream, and so knows that it has
    /// everything.
    pub(super) fn orderly(reason: CloseReason) -> Self {
        Self {
            reason,
            counter: Counter::of(reason),
            reset: false,
        }
    }

    /// Returns a reset.
    pub(super) fn reset(reason: CloseReason) -> Self {
        Self {
            reset: true,
            ..Self::orderly(reason)
        }
    }

    /// Returns a reset of a connection that the handler has refused.
    pub(super) fn refused(error: Error) -> Self {
        Self {
            counter: Counter::RefusedByHandler,
            ..Self::reset(CloseReason::Failed(error))
        }
    }

    /// Returns a reset of a connection for which there is not enough memory.
    pub(super) fn starved(error: Error) -> Self {
        Self {
            counter: Counter::OutOfMemory,
            ..Self::reset(CloseReason::Failed(error))
        }
    }
}
