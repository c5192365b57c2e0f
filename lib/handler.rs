// SPDX-License-Identifier: GPL-2.0

//! The trait that a service implements, and the values that its methods are given.

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
/// methods take `&self`; what belongs to one connection is in its [`Session`](Self::Session), of
/// which the methods have the only reference.
///
/// # Context
///
/// All methods run in a kernel thread and may sleep, unless the handler says that they
/// [do not](Self::MAY_SLEEP). [`KernelTcpServer`] waits for them when it stops. When its time to drain is
/// over, it interrupts those that are still at work: what they wait for in a way that signals can
/// interrupt fails, at once and until they return. So no peer decides how long the stop takes; but a
/// method that never returns all the same keeps the module from being unloaded.
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
    /// bytes have arrived, in softirq context, which saves each request the way through a thread.
    /// Each method is then called with softirqs off, whichever the executor and the thread, and what a
    /// session or the handler owns is dropped so, too. Sleeping there is a bug, as a mutex under a
    /// spinlock is: a kernel with `CONFIG_DEBUG_ATOMIC_SLEEP` reports it, and the functions of this
    /// library that sleep fail with `EBUSY` instead. What the handler shares with other code needs
    /// atomics, or a lock that is not taken with softirqs on either. [`Sender`] is for
    /// handlers that may sleep.
    const MAY_SLEEP: bool = true;

    /// True if a handler that may sleep has a [`try_receive`](Self::try_receive), to be called
    /// before [`receive`](Self::receive) is.
    const TRIES_FIRST: bool = false;

    /// A peer has connected. An error refuses it: the connection is reset, without a call of
    /// [`close`](Self::close).
    fn open(&self, peer: &Peer<'_>) -> Result<Self::Session>;

    /// Bytes have arrived.
    ///
    /// `input` holds them behind those that an earlier call left. Called again when more have
    /// come, or when `output` had run [short of room](Output) and has been sent.
    ///
    /// An error closes the connection as [`Next::Close`] does, with [`CloseReason::Failed`].
    fn receive(
        &self,
        session: &mut Self::Session,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Next>;

    /// Like [`receive`](Self::receive), where the bytes have arrived and one must not sleep. `None`
    /// says that to go on one may have to: then [`receive`](Self::receive) is called soon, where it
    /// may, with what is left in `input` and room for more in `output`. What was consumed and
    /// written before stays so.
    ///
    /// Called by an [event loop](crate::Executor::EventLoop) only, with
    /// [`TRIES_FIRST`](Self::TRIES_FIRST), and with softirqs off. What it shares with methods that
    /// are called with softirqs on needs atomics, or a [`SpinLockBh`](crate::SpinLockBh).
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

    /// The peer has sent its last byte; `input` holds what [`receive`](Self::receive) left.
    ///
    /// Called again when `output` had run [short of room](Output) and has been sent. What is in
    /// `output` is still sent; then the connection is closed.
    fn end(
        &self,
        _session: &mut Self::Session,
        _input: &mut Input<'_>,
        _output: &mut Output<'_>,
    ) -> Result {
        Ok(())
    }

    /// The peer has kept the server waiting for longer than `reason`, which is
    /// [`CloseReason::Idle`] or [`CloseReason::ReceiveTimeout`], allows; `input` holds what
    /// [`receive`](Self::receive) left. With something in `output` the connection is closed, and not
    /// reset, once its socket has taken it.
    ///
    /// Not called when something still waits to be sent: then the peer does not listen either.
    fn time_out(
        &self,
        _session: &mut Self::Session,
        _input: &mut Input<'_>,
        _output: &mut Output<'_>,
        _reason: CloseReason,
    ) {
    }

    /// The connection is closed. Called once for each session that [`open`](Self::open) made.
    fn close(&self, _session: Self::Session, _reason: CloseReason) {}
}

/// The next step of a connection after a call of [`Handler::receive`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Send what is in the output, and receive on.
    Receive,
    /// Send what is in the output, then close.
    Close,
    /// Send what is in the output and tell the peer that nothing more comes, then receive on until
    /// it closes, too. Closing while a peer still sends resets the connection (RFC 2525, section
    /// 2.17), which can cost it the last answer; one that reads to the end first gets it. What is
    /// written after this breaks the connection, and so does what is
    /// [pushed](crate::Sender::send).
    HalfClose,
    /// Discard what is in the output and reset the connection.
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
/// /// Whether the peer has been told all that there was to tell.
/// fn is_orderly(reason: CloseReason) -> bool {
///     matches!(reason, CloseReason::Ended | CloseReason::Handler)
/// }
/// # assert!(!is_orderly(CloseReason::Broken(EPIPE)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The peer sent its last byte, and has been sent everything.
    Ended,
    /// The handler said [`Next::Close`] or [`Next::Reset`].
    Handler,
    /// A method of the handler returned this error.
    Failed(Error),
    /// The socket returned this error, such as `ECONNRESET` or `EPIPE`.
    Broken(Error),
    /// The handler left so much unread that nothing more fits into the input buffer.
    InputFull,
    /// No byte has moved for the server's [idle timeout](crate::Builder::idle_timeout).
    Idle,
    /// The handler has waited for the rest of a message for the server's
    /// [receive timeout](crate::Builder::receive_timeout).
    ReceiveTimeout,
    /// The peer has taken nothing of what was to be sent for the server's
    /// [send timeout](crate::Builder::send_timeout).
    SendTimeout,
    /// The server stopped.
    Stopped,
}
