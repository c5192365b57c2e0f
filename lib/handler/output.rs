// SPDX-License-Identifier: GPL-2.0

//! The output of a handler.

use super::Input;
use crate::{
    buffer::Buffer,
    fs::{
        File,
        Wait, //
    },
    util::error::{
        ENOBUFS,
        EOPNOTSUPP, //
    }, //
};
use core::ops::Range;
use kernel::prelude::*;

/// Bytes that a handler sends to its peer.
///
/// It has room for a bounded number of bytes. A handler that runs short of room is called again
/// when its output has been sent. While the peer does not read, the server does not receive from
/// that connection either.
///
/// All methods may be called in the context of the handler, unless they say otherwise.
///
/// # Examples
///
/// An answer of two parts, of which either both are written or none:
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
    /// A part of a file to be sent after the buffer.
    file: &'a mut Option<FilePart>,
    short: bool,
}

/// A part of a file to be sent.
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

    /// Sends a part of `file` after the bytes written so far, without copying it: the socket takes
    /// the pages in which the kernel caches the file. Until the part is sent there is no
    /// [room](Self::room).
    ///
    /// Writes to the file meanwhile change the bytes that are sent. If the file is truncated below
    /// the end of the part, the connection is reset, with
    /// [`CloseReason::Failed`](crate::CloseReason::Failed): the peer must not take the bytes that
    /// it got for the whole.
    ///
    /// # Errors
    ///
    /// - `ENOBUFS`: another part is still to be sent.
    /// - `EOPNOTSUPP`: the file system does not support this, and the file can only be
    ///   [read](Self::read_from).
    ///
    /// Any context. The executor waits for the disk when it sends the part.
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

    /// Returns the number of bytes that still fit.
    #[inline]
    pub fn room(&self) -> usize {
        match self.file {
            Some(_) => 0,
            None => self.buffer.room(),
        }
    }

    /// Appends all of `data`, or nothing: fails with `ENOBUFS` if there is not [room](Self::room)
    /// for all of it.
    #[inline]
    pub fn write(&mut self, data: &[u8]) -> Result {
        if data.len() > self.room() {
            self.short = true;
            return Err(ENOBUFS);
        }
        self.buffer.append(data);
        Ok(())
    }

    /// Moves bytes from the front of `input`, as many as there is [room](Self::room) for, and
    /// returns their number. The others stay in `input`, and the handler is called again when there
    /// is room.
    #[inline]
    pub fn forward(&mut self, input: &mut Input<'_>) -> usize {
        let count = match self.file {
            Some(_) => 0,
            None => self.buffer.append_from(input.buffer()),
        };
        self.short |= !input.is_empty();
        count
    }

    /// Has the handler called again when the output has been sent, as a [`write`](Self::write) that
    /// fails does: for a handler with more to send than there is [room](Self::room) for.
    #[inline]
    pub fn wait_for_room(&mut self) {
        self.short = true;
    }

    /// Appends bytes of `file` from byte `position` on, at most `most` and as many as there is
    /// [room](Self::room) for. Returns their number; 0 is the end of the file, or no room.
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

    /// Returns true if the handler had more to write than there was room for.
    #[inline]
    pub(crate) fn ran_short(&self) -> bool {
        self.short
    }
}
