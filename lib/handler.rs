// SPDX-License-Identifier: GPL-2.0

//! The trait that a service implements, and the arguments of its methods.

mod input;
mod output;
mod peer;

pub use self::{
    input::Input,
    output::Output,
    peer::{
        Peer,
        Sender, //
    }, //
};
pub(crate) use self::{
    output::FilePart,
    peer::Mailbox, //
};

use kernel::prelude::*;

/// The logic of a protocol, apart from sockets and threads.
///
/// One handler serves all connections of a server, at the same time and from many tasks, so its
/// methods take `&self`. The data of one connection is in its [`Session`](Self::Session), to which
/// a method gets the only reference.
///
/// # Context
///
/// All methods run in a kernel thread and may sleep, unless the handler declares that they [do
/// not](Self::MAY_SLEEP). [`KernelTcpServer`] waits for them when it stops. Once its time to drain
/// has passed, it interrupts the methods that still run: from then on until they return, each wait
/// that signals can interrupt fails at once. So no peer decides how long the stop takes. A method
/// that still does not return keeps the module from being unloaded.
///
/// [`KernelTcpServer`]: crate::KernelTcpServer
///
/// # Examples
///
/// A service that answers each line with the last digit of its length:
///
/// ```
/// use kernel::prelude::*;
/// use ktcp_server::{Handler, Input, Next, Output, Peer};
///
/// struct Length;
///
/// impl Handler for Length {
///     type Session = ();
///
///     fn open(&self, _peer: &Peer<'_>) -> Result {
///         Ok(())
///     }
///
///     fn receive(&self, _session: &mut (), input: &mut Input<'_>, output: &mut Output<'_>) -> Result<Next> {
///         while let Some(end) = input.iter().position(|&byte| byte == b'\n') {
///             if output.write(&[b'0' + (end % 10) as u8, b'\n']).is_err() {
///                 break; // no room: called again when there is
///             }
///             input.consume(end + 1);
///         }
///         Ok(Next::Receive)
///     }
/// }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// The data of one connection.
    type Session: Send + 'static;

    /// True if a method of the handler may sleep: takes a mutex, allocates with `GFP_KERNEL`,
    /// reads a file, waits.
    ///
    /// With `false`, an [event loop](crate::Executor::EventLoop) may call the handler where the
    /// bytes have arrived, in softirq context, which saves each request the switch to a thread.
    /// Every executor then calls each method with softirqs off, and drops all that a session or the
    /// handler owns with softirqs off, too. Sleeping there is a bug, like taking a mutex under a
    /// spinlock: a kernel with `CONFIG_DEBUG_ATOMIC_SLEEP` reports it, and the functions of this
    /// library that sleep fail with `EBUSY` instead. Data that the handler shares with other code
    /// needs atomics, or a lock that all code takes with softirqs off. [`Sender`] is for handlers
    /// that may sleep.
    const MAY_SLEEP: bool = true;

    /// True if a handler that may sleep implements [`try_receive`](Self::try_receive), which is
    /// then called before [`receive`](Self::receive).
    const TRIES_FIRST: bool = false;

    /// Accepts or refuses a peer that has connected.
    ///
    /// An error refuses the peer: the server resets the connection, and does not call
    /// [`close`](Self::close).
    fn open(&self, peer: &Peer<'_>) -> Result<Self::Session>;

    /// Handles bytes that the peer has sent.
    ///
    /// `input` holds them after those that an earlier call has left. Called again when more bytes
    /// have arrived, or when `output` had run [short of room](Output) and has been sent.
    ///
    /// An error closes the connection as [`Next::Close`] does, with [`CloseReason::Failed`].
    fn receive(
        &self,
        session: &mut Self::Session,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Next>;

    /// Like [`receive`](Self::receive), but called where the bytes have arrived, and where it must
    /// not sleep.
    ///
    /// `None` asks for a call of [`receive`](Self::receive), because the handler may have to sleep.
    /// That call follows soon, with the bytes that are left in `input` and with room in `output`.
    /// Bytes that this call has consumed or written stay consumed or written.
    ///
    /// Only an [event loop](crate::Executor::EventLoop) calls this, with
    /// [`TRIES_FIRST`](Self::TRIES_FIRST), and with softirqs off. Data that it shares with methods
    /// that are called with softirqs on needs atomics, or a [`SpinLockBh`](crate::SpinLockBh).
    ///
    /// # Examples
    ///
    /// A service that knows some answers by heart, and has to look others up:
    ///
    /// ```
    /// use kernel::prelude::*;
    /// use ktcp_server::{testing, Handler, Input, Next, Output, Peer};
    ///
    /// struct Oracle;
    ///
    /// impl Handler for Oracle {
    ///     type Session = ();
    ///     const TRIES_FIRST: bool = true;
    ///
    ///     fn open(&self, _peer: &Peer<'_>) -> Result {
    ///         Ok(())
    ///     }
    ///
    ///     fn try_receive(
    ///         &self,
    ///         _session: &mut (),
    ///         input: &mut Input<'_>,
    ///         output: &mut Output<'_>,
    ///     ) -> Result<Option<Next>> {
    ///         if input.first() != Some(&b'?') {
    ///             return Ok(None);
    ///         }
    ///         output.write(b"42")?;
    ///         input.consume(1);
    ///         Ok(Some(Next::Close))
    ///     }
    ///
    ///     fn receive(&self, _s: &mut (), input: &mut Input<'_>, output: &mut Output<'_>) -> Result<Next> {
    ///         // As if it came from a disk.
    ///         let answer = KVec::from_elem(b'.', input.len(), GFP_KERNEL)?;
    ///         output.write(&answer)?;
    ///         Ok(Next::Close)
    ///     }
    /// }
    ///
    /// assert_eq!(&testing::converse(Oracle, b"why")?[..], b"...");
    /// # Ok::<(), Error>(())
    /// ```
    fn try_receive(
        &self,
        _session: &mut Self::Session,
        _input: &mut Input<'_>,
        _output: &mut Output<'_>,
    ) -> Result<Option<Next>> {
        Ok(None)
    }

    /// Handles the end of the peer's stream.
    ///
    /// The peer has sent its last byte; `input` holds the bytes that [`receive`](Self::receive) has
    /// left.
    ///
    /// Called again when `output` had run [short of room](Output) and has been sent. The server
    /// still sends `output`, then closes the connection.
    fn end(
        &self,
        _session: &mut Self::Session,
        _input: &mut Input<'_>,
        _output: &mut Output<'_>,
    ) -> Result {
        Ok(())
    }

    /// Handles a timeout, before the connection ends.
    ///
    /// `reason` is [`CloseReason::Idle`] or [`CloseReason::ReceiveTimeout`]; `input` holds the
    /// bytes that [`receive`](Self::receive) has left. If this writes to `output` and the socket
    /// takes that at once, the connection is closed and not reset.
    ///
    /// Not called while output still waits to be sent: such a peer does not read either.
    fn time_out(
        &self,
        _session: &mut Self::Session,
        _input: &mut Input<'_>,
        _output: &mut Output<'_>,
        _reason: CloseReason,
    ) {
    }

    /// Ends a session whose connection is closed. Called once for each session that
    /// [`open`](Self::open) has returned.
    fn close(&self, _session: Self::Session, _reason: CloseReason) {}
}

/// The next step of a connection after a call of [`Handler::receive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send the output, and go on receiving.
    Receive,
    /// Send the output, then close.
    Close,
    /// Send the output and the end of the stream, then go on receiving until the peer closes, too.
    ///
    /// Closing while the peer still sends resets the connection (RFC 2525, section 2.17), which can
    /// cost the peer the last answer. After a half-close, a peer that reads to the end of the
    /// stream gets that answer. Writing after this breaks the connection, and so does
    /// [pushing](crate::Sender::send).
    HalfClose,
    /// Discard the output and reset the connection.
    Reset,
}

/// The reason why a connection was closed.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use ktcp_server::CloseReason;
///
/// /// Returns true if the peer has been sent everything.
/// fn is_orderly(reason: CloseReason) -> bool {
///     matches!(reason, CloseReason::Ended | CloseReason::Handler)
/// }
/// # assert!(!is_orderly(CloseReason::Broken(EPIPE)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer sent its last byte, and has been sent everything.
    Ended,
    /// The handler returned [`Next::Close`] or [`Next::Reset`].
    Handler,
    /// A method of the handler returned this error.
    Failed(Error),
    /// The socket returned this error, such as `ECONNRESET` or `EPIPE`.
    Broken(Error),
    /// The handler left so many bytes unconsumed that the input buffer is full.
    InputFull,
    /// No byte has moved for the server's [idle timeout](crate::Builder::idle_timeout).
    Idle,
    /// The handler has waited for the rest of a message for the server's
    /// [receive timeout](crate::Builder::receive_timeout).
    ReceiveTimeout,
    /// The peer has taken none of the waiting output for the server's [send
    /// timeout](crate::Builder::send_timeout).
    SendTimeout,
    /// The server stopped.
    Stopped,
}
