// SPDX-License-Identifier: GPL-2.0

//! The input of a handler.

use crate::buffer::Buffer;
use core::{
    cell::UnsafeCell,
    ops::Deref, //
};

/// Bytes that a connection has received and its handler has not consumed.
///
/// What is not consumed is shown again, together with what comes next. So a handler that waits for
/// a whole message needs no buffer of its own; it leaves the start of it here. If nothing more
/// fits, the connection is closed with [`CloseReason::InputFull`](crate::CloseReason::InputFull): a message cannot be longer than
/// the server's input buffer.
///
/// To look at the bytes has its price: many that arrive at once are copied to one place only then.
/// A handler that [forwards](crate::Output::forward) them unseen saves that.
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

    /// Returns the buffer, for [`Output::forward`](super::Output::forward).
    #[inline]
    pub(super) fn buffer(&mut self) -> &mut Buffer {
        self.buffer.get_mut()
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
