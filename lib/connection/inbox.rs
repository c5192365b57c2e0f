// SPDX-License-Identifier: GPL-2.0

//! The inbox of a connection: data and close requests from other tasks.

use crate::{
    buffer::{
        Buffer,
        BufferSize, //
    },
    handler::CloseReason,
    sync::lock_class::new_mutex,
    util::error::{
        ENOBUFS,
        ENOTCONN, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Mutex, //
    }, //
};

/// Data that senders have pushed and the connection has not yet taken.
struct Pushed {
    buffer: Option<Buffer>,
    closed: bool,
}

/// Data and a close request from tasks other than the one that polls the connection.
///
/// A task that puts something here schedules the connection afterwards.
#[pin_data]
pub(crate) struct Inbox {
    #[pin]
    pushed: Mutex<Pushed>,
    has_data: Atomic<bool>,
    is_closed: Atomic<bool>,
    close_request: CloseRequest,
}

impl Inbox {
    pub(super) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            pushed <- new_mutex!(Pushed { buffer: None, closed: false }),
            has_data: Atomic::new(false),
            is_closed: Atomic::new(false),
            close_request: CloseRequest::new(),
        })
    }

    /// Queues all of `data`, or none of it. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOTCONN` once the connection is closed; `ENOBUFS` if `data` exceeds the room that is left
    /// of `size` bytes; `ENOMEM`.
    pub(super) fn push(&self, data: &[u8], size: BufferSize) -> Result {
        let mut pushed = self.pushed.lock();
        if pushed.closed {
            return Err(ENOTCONN);
        }
        let buffer = match pushed.buffer.take() {
            Some(buffer) => buffer,
            None => Buffer::new(size)?,
        };
        let buffer = pushed.buffer.insert(buffer);
        if data.len() > buffer.room() {
            return Err(ENOBUFS);
        }
        buffer.append(data);
        self.has_data.store(!buffer.is_empty(), Relaxed);
        Ok(())
    }

    /// Returns true if data is queued.
    #[inline]
    pub(super) fn has_data(&self) -> bool {
        self.has_data.load(Relaxed)
    }

    /// Moves queued data to `output`, as much as fits. May sleep.
    pub(super) fn take_data(&self, output: &mut Buffer) {
        let mut pushed = self.pushed.lock();
        if let Some(buffer) = &mut pushed.buffer {
            output.append_from(buffer);
            if !buffer.is_empty() {
                return;
            }
        }
        let empty = pushed.buffer.take();
        self.has_data.store(false, Relaxed);
        drop(pushed);
        drop(empty);
    }

    /// Refuses further data, and returns the data that is still queued, if any. May sleep.
    pub(super) fn close(&self) -> Option<Buffer> {
        let mut pushed = self.pushed.lock();
        pushed.closed = true;
        self.is_closed.store(true, Relaxed);
        let unsent = pushed.buffer.take();
        self.has_data.store(false, Relaxed);
        drop(pushed);
        unsent.filter(|unsent| !unsent.is_empty())
    }

    /// Returns true once the inbox refuses data: the connection has ended.
    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Relaxed)
    }

    /// Requests that the connection ends for `reason`: a timeout, or the stop of the server.
    pub(super) fn request_close(&self, reason: CloseReason) {
        self.close_request.make(reason);
    }

    /// Clears the request of a timeout, once the connection has ended. The request of the stop
    /// stays: the server makes it once, and it ends the lingering as well.
    pub(super) fn clear_timeout(&self) {
        self.close_request.clear_timeout();
    }

    /// Returns the reason of the close request, if there is one.
    #[inline]
    pub(super) fn close_request(&self) -> Option<CloseReason> {
        self.close_request.get()
    }
}

/// A request of another task to end the connection: a timeout, or the stop of the server.
struct CloseRequest(Atomic<u32>);

impl CloseRequest {
    const REASONS: [CloseReason; 4] = [
        CloseReason::Idle,
        CloseReason::ReceiveTimeout,
        CloseReason::SendTimeout,
        CloseReason::Stopped,
    ];

    const fn new() -> Self {
        Self(Atomic::new(0))
    }

    /// Sets the request to `reason`, one of `REASONS`. It replaces an earlier one.
    fn make(&self, reason: CloseReason) {
        self.0.store(Self::code(reason), Relaxed);
    }

    /// Returns the stored form of a reason; 0 if it is none of `REASONS`.
    fn code(reason: CloseReason) -> u32 {
        let index = Self::REASONS.iter().position(|other| *other == reason);
        index.map_or(0, |index| index as u32 + 1)
    }

    fn clear_timeout(&self) {
        let code = self.0.load(Relaxed);
        if code != Self::code(CloseReason::Stopped) {
            // Fails if another request has replaced this one.
            let _ = self.0.cmpxchg(code, 0, Relaxed);
        }
    }

    #[inline]
    fn get(&self) -> Option<CloseReason> {
        let code = self.0.load(Relaxed) as usize;
        Self::REASONS.get(code.checked_sub(1)?).copied()
    }
}

#[cfg(CONFIG_KTCP_KUNIT_TEST)]
#[kunit_tests(ktcp_inbox)]
mod tests {
    use super::*;

    #[test]
    fn an_end_forgets_timeouts_but_not_the_stop() {
        for (reason, left) in [
            (CloseReason::Idle, None),
            (CloseReason::ReceiveTimeout, None),
            (CloseReason::SendTimeout, None),
            (CloseReason::Stopped, Some(CloseReason::Stopped)),
        ] {
            let request = CloseRequest::new();
            request.make(reason);
            assert_eq!(request.get(), Some(reason));
            request.clear_timeout();
            assert_eq!(request.get(), left);
            request.clear_timeout();
            assert_eq!(request.get(), left);
        }
    }
}
