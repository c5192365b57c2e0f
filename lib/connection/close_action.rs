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
    /// The end of the stream, which tells the peer that it has got everything.
    pub(super) fn orderly(reason: CloseReason) -> Self {
        Self {
            reason,
            counter: Counter::of(reason),
            reset: false,
        }
    }

    /// A reset.
    pub(super) fn reset(reason: CloseReason) -> Self {
        Self {
            reset: true,
            ..Self::orderly(reason)
        }
    }

    /// A reset, for the handler did not want the connection.
    pub(super) fn refused(error: Error) -> Self {
        Self {
            counter: Counter::RefusedByHandler,
            ..Self::reset(CloseReason::Failed(error))
        }
    }

    /// A reset, for there is no memory that the connection needs.
    pub(super) fn starved(error: Error) -> Self {
        Self {
            counter: Counter::OutOfMemory,
            ..Self::reset(CloseReason::Failed(error))
        }
    }
}
