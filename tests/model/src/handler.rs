// SPDX-License-Identifier: GPL-2.0

//! The part of `lib/handler.rs` that the lock-free parts use.

/// The timeout for which a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseReason {
    Idle,
    ReceiveTimeout,
    SendTimeout,
}
