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

/// The connection of a peer, as code outside of its handler sees it.
///
/// Its vtable is a part of the library: a [`Sender`] may outlive the module of the handler.
pub(crate) trait Mailbox: Send + Sync {
    /// Returns the address of the peer. Any context.
    fn peer_addr(&self) -> SocketAddr;

    /// Queues `data` to be sent; see [`Sender::send`].
    fn push(self: ArcBorrow<'_, Self>, data: &[u8]) -> Result;
}

/// The other end of a connection, as [`Handler::open`](crate::Handler::open) meets it.
///
/// # Examples
///
/// A handler that is for this machine only begins with:
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

    /// Its address. Any context.
    pub fn addr(&self) -> SocketAddr {
        self.mailbox.peer_addr()
    }

    /// Something with which any code can send to it. Any context.
    pub fn sender(&self) -> Sender {
        Sender {
            mailbox: self.mailbox.into(),
        }
    }
}

/// Sends to a connection from outside its handler, for as long as the connection is there.
///
/// It may be kept and used for longer than the connection, the server and the handler: it then says
/// `ENOTCONN`. It keeps neither of them alive, nor any socket, thread or buffer: until it is dropped
/// it holds 256 bytes for its connection and, once the server is gone, some 4 KiB and 1 KiB for each
/// CPU for all connections together. It may be dropped in any context but a hard interrupt.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use ktcp_server::Sender;
///
/// /// Tells the news to all who are still there.
/// fn broadcast(listeners: &mut KVec<Sender>, news: &[u8]) {
///     listeners.retain(|listener| listener.send(news) != Err(ENOTCONN));
/// }
/// ```
#[derive(Clone)]
pub struct Sender {
    mailbox: Arc<dyn Mailbox>,
}

impl Sender {
    /// Has all of `data` sent, behind what was to be sent before and never amid what a call of the
    /// handler has written; or nothing of it.
    ///
    /// # Errors
    ///
    /// - `ENOTCONN`: the connection is closed.
    /// - `ENOBUFS`: with what waits to be sent, it is more than the server's output buffer.
    /// - `ENOMEM`.
    /// - `EBUSY`: the caller must not sleep, as a handler that [does not](crate::Handler::MAY_SLEEP).
    ///
    /// May sleep, but not for the peer.
    pub fn send(&self, data: &[u8]) -> Result {
        if context::must_not_sleep() {
            return Err(EBUSY);
        }
        self.mailbox.as_arc_borrow().push(data)
    }

    /// The address of the peer. Any context.
    pub fn peer_addr(&self) -> SocketAddr {
        self.mailbox.peer_addr()
    }
}
