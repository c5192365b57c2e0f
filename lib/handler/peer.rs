// SPDX-License-Identifier: GPL-2.0

//! The other end of a connection, and sending to it from outside its handler.

use crate::sync::context;
use core::net::SocketAddr;
use kernel::{
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    }, //
};

/// A connection, as code outside its handler uses it.
///
/// The vtable is part of the library, because a [`Sender`] may outlive the module of the handler.
pub(crate) trait Mailbox: Send + Sync {
    /// Returns the address of the peer. Any context.
    fn peer_addr(&self) -> SocketAddr;

    /// Queues `data` to be sent; see [`Sender::send`].
    fn push(self: ArcBorrow<'_, Self>, data: &[u8]) -> Result;
}

/// The peer of a new connection, which [`Handler::open`](crate::Handler::open) accepts or refuses.
///
/// # Examples
///
/// The check of a handler that serves this machine only:
///
/// ```
/// use kernel::prelude::*;
/// use ktcp_server::Peer;
///
/// fn open(peer: &Peer<'_>) -> Result {
///     if peer.addr().ip().to_canonical().is_loopback() {
///         Ok(())
///     } else {
///         Err(EPERM) // resets the connection
///     }
/// }
/// ```
pub struct Peer<'a> {
    mailbox: ArcBorrow<'a, dyn Mailbox + 'static>,
}

impl<'a> Peer<'a> {
    pub(crate) fn new(mailbox: ArcBorrow<'a, dyn Mailbox + 'static>) -> Self {
        Self { mailbox }
    }

    /// Returns the address of the peer. Any context.
    pub fn addr(&self) -> SocketAddr {
        self.mailbox.peer_addr()
    }

    /// Returns a sender, with which any code can send to the peer. Any context.
    pub fn sender(&self) -> Sender {
        Sender {
            mailbox: self.mailbox.into(),
        }
    }
}

/// A handle with which code outside a handler sends to its connection.
///
/// It may outlive the connection, the server and the handler: sending then fails with `ENOTCONN`.
/// It keeps none of them alive, nor any socket, thread or buffer. Until it is dropped it holds 256
/// bytes for its connection and, once the server is gone, some 4 KiB and 1 KiB for each CPU for all
/// connections together. It may be dropped in any context but a hard interrupt.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use ktcp_server::Sender;
///
/// /// Sends `news` to all listeners, and forgets those whose connections are closed.
/// fn broadcast(listeners: &mut KVec<Sender>, news: &[u8]) {
///     listeners.retain(|listener| listener.send(news) != Err(ENOTCONN));
/// }
/// ```
#[derive(Clone)]
pub struct Sender {
    mailbox: Arc<dyn Mailbox>,
}

impl Sender {
    /// Queues all of `data` to be sent, or none of it. It follows all data queued before, and does
    /// not split the output of a call of the handler.
    ///
    /// # Errors
    ///
    /// - `ENOTCONN`: the connection is closed.
    /// - `ENOBUFS`: together with the data that waits to be sent, it exceeds the server's output
    ///   buffer.
    /// - `ENOMEM`.
    /// - `EBUSY`: the caller must not sleep, such as a handler that [does
    ///   not](crate::Handler::MAY_SLEEP).
    ///
    /// May sleep, but not for the peer.
    pub fn send(&self, data: &[u8]) -> Result {
        if context::must_not_sleep() {
            return Err(EBUSY);
        }
        self.mailbox.as_arc_borrow().push(data)
    }

    /// Returns the address of the peer. Any context.
    pub fn peer_addr(&self) -> SocketAddr {
        self.mailbox.peer_addr()
    }
}
