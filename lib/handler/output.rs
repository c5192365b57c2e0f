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
    /// reset, with [`CloseReason::Failed`](crate::CloseReason::Failed): the peer must not take what it got for all.
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
            None => self.buffer.append_from(input.buffer()),
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
