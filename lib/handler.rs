// SPDX-License-Identifier: GPL-2.0

//! The trait that a service implements, and the values that its methods are given.

pub(crate) mod peer;

use crate::{
    buffer::Buffer,
    fs::{
        File,
        Wait, //
    },
    handler::peer::Peer,
    util::error::{
        ENOBUFS,
        EOPNOTSUPP, //
    }, //
};
use core::{
    cell::UnsafeCell,
    ops::{
        Deref,
        Range, //
    }, //
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
    /// atomics, or a lock that is not taken with softirqs on either. [`Sender`](crate::Sender) is for
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

/// Bytes that a connection has received and its handler has not consumed.
///
/// What is not consumed is shown again, together with what comes next. So a handler that waits for
/// a whole message needs no buffer of its own; it leaves the start of it here. If nothing more
/// fits, the connection is closed with [`CloseReason::InputFull`]: a message cannot be longer than
/// the server's input buffer.
///
/// To look at the bytes has its price: many that arrive at once are copied to one place only then.
/// A handler that [forwards](Output::forward) them unseen saves that.
///
/// All of this may be called wherever the handler is.
///
/// # Examples
///
/// A number of four bytes, if they are all there:
///
/// ```
/// use kernel::prelude::*;
/// use ktcp_server::Input;
///
/// fn number(input: &mut Input<'_>) -> Option<u32> {
///     let (bytes, _) = input.split_first_chunk::<4>()?;
///     let number = u32::from_be_bytes(*bytes);
///     input.consume(4);
///     Some(number)
/// }
/// ```
pub struct Input<'a> {
    /// Mutated by `deref` as long as it is not gathered, and after that only where `self` is
    /// mutable.
    buffer: UnsafeCell<&'a mut Buffer>,
}

impl<'a> Input<'a> {
    #[inline]
    pub(crate) fn new(buffer: &'a mut Buffer) -> Self {
        Self {
            buffer: UnsafeCell::new(buffer),
        }
    }

    /// Returns how many bytes there are.
    #[inline]
    pub fn len(&self) -> usize {
        // SAFETY: The reference is not kept, and while it is there the buffer is not mutated: an
        // `Input` cannot be used by two tasks at once.
        unsafe { (*self.buffer.get()).len() }
    }

    /// Returns true if there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes `count` bytes from the front, or all when there are fewer.
    #[inline]
    pub fn consume(&mut self, count: usize) {
        self.buffer.get_mut().consume(count);
    }
}

impl Deref for Input<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        let buffer = self.buffer.get();
        // SAFETY: As for `len`.
        if !unsafe { (*buffer).is_gathered() } {
            // SAFETY: There is no other reference to the buffer: this method alone lends one out
            // for longer, and when it has, the buffer is gathered and stays so as long as that is
            // borrowed. An `Input` cannot be used by two tasks at once.
            unsafe { (*buffer).gather_to_see() };
        }
        // SAFETY: As long as this is borrowed, so is `self`, and the buffer is not mutated.
        unsafe { (*buffer).filled() }
    }
}

/// The output of a handler: bytes that are to be sent.
///
/// It has room for a bounded number of bytes. A handler that runs short of room is called again
/// when what it wrote has been sent; a connection whose peer does not read is not read from
/// either.
///
/// All of this may be called wherever the handler is, unless it says otherwise.
///
/// # Examples
///
/// An answer of two parts, of which none is said without the other:
///
/// ```
/// use kernel::prelude::*;
/// use ktcp_server::Output;
///
/// fn answer(output: &mut Output<'_>, text: &[u8]) -> Result {
///     if output.room() < 2 + text.len() {
///         output.wait_for_room();
///         return Ok(()); // called again when there is
///     }
///     let length = u16::try_from(text.len())?;
///     output.write(&length.to_be_bytes())?;
///     output.write(text)
/// }
/// ```
pub struct Output<'a> {
    buffer: &'a mut Buffer,
    /// A part of a file that is to be sent behind the buffer.
    file: &'a mut Option<FilePart>,
    short: bool,
}

/// A part of a file that is to be sent.
pub(crate) struct FilePart {
    pub(crate) file: File,
    pub(crate) range: Range<u64>,
}

impl<'a> Output<'a> {
    #[inline]
    pub(crate) fn new(buffer: &'a mut Buffer, file: &'a mut Option<FilePart>) -> Self {
        Self {
            buffer,
            file,
            short: false,
        }
    }

    /// Has a part of `file` sent behind what is here, without copying it: the socket takes the pages
    /// in which the kernel keeps the file. Until that is done there is no [room](Self::room).
    ///
    /// Who writes to the file meanwhile changes what is sent. If it is cut short, the connection is
    /// reset, with [`CloseReason::Failed`]: the peer must not take what it got for all.
    ///
    /// # Errors
    ///
    /// - `ENOBUFS`: there is such a part here already.
    /// - `EOPNOTSUPP`: its file system can only have it [read](Self::read_from).
    ///
    /// Any context; that of the executor has to bear waiting for the disk.
    pub fn send_file(&mut self, file: &File, range: Range<u64>) -> Result {
        if !file.can_be_sent() {
            return Err(EOPNOTSUPP);
        }
        if self.file.is_some() {
            self.short = true;
            return Err(ENOBUFS);
        }
        if range.start < range.end {
            *self.file = Some(FilePart {
                file: file.clone(),
                range,
            });
        }
        Ok(())
    }

    /// Returns how many more bytes it takes.
    #[inline]
    pub fn room(&self) -> usize {
        match self.file {
            Some(_) => 0,
            None => self.buffer.room(),
        }
    }

    /// Takes all of `data`, or nothing of it and fails with `ENOBUFS` when there is not
    /// [room](Self::room) for all.
    #[inline]
    pub fn write(&mut self, data: &[u8]) -> Result {
        if data.len() > self.room() {
            self.short = true;
            return Err(ENOBUFS);
        }
        self.buffer.append(data);
        Ok(())
    }

    /// Moves bytes from the front of `input` here, as many as there is [room](Self::room) for, and
    /// says how many. The others stay in `input`, for when there is room again.
    #[inline]
    pub fn forward(&mut self, input: &mut Input<'_>) -> usize {
        let count = match self.file {
            Some(_) => 0,
            None => self.buffer.append_from(input.buffer.get_mut()),
        };
        self.short |= !input.is_empty();
        count
    }

    /// Notes that there is more to say than there is [room](Self::room) for, as a
    /// [`write`](Self::write) that fails does: the handler is called again when what is here has
    /// been sent.
    #[inline]
    pub fn wait_for_room(&mut self) {
        self.short = true;
    }

    /// Reads from `file`, from byte `position` on and at most `most` bytes, as many as there is
    /// [room](Self::room) for, and says how many; 0 is the end of the file, or no room.
    ///
    /// # Errors
    ///
    /// Those of [`File::read_at`].
    ///
    /// May sleep.
    pub fn read_from(
        &mut self,
        file: &File,
        position: u64,
        most: u64,
        wait: Wait,
    ) -> Result<usize> {
        match self.file {
            Some(_) => Ok(0),
            None => self.buffer.read_from(file, position, most, wait),
        }
    }

    /// Returns true if the handler wanted to put more here than there was room for.
    #[inline]
    pub(crate) fn ran_short(&self) -> bool {
        self.short
    }
}
