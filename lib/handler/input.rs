// SPDX-License-Identifier: GPL-2.0

//! The input of a handler.

use crate::buffer::Buffer;
use core::{
    cell::UnsafeCell,
    ops::Deref, //
};

/// Bytes that a connection has received and its handler has not consumed.
///
/// The next call of the handler finds the bytes that this one has not consumed, followed by new
/// ones. So a handler that waits for a whole message needs no buffer of its own: it leaves the
/// start of the message here. If the buffer is full, the connection is closed with
/// [`CloseReason::InputFull`](crate::CloseReason::InputFull): a message cannot be longer than the
/// server's input buffer.
///
/// Reading the bytes can cost a copy: the first read copies many bytes that arrived at once to
/// contiguous memory. A handler that [forwards](crate::Output::forward) them unread saves that
/// copy.
///
/// All methods may be called in the context of the handler.
///
/// # Examples
///
/// A number of four bytes, once all of them have arrived:
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
    /// `deref` mutates the buffer until it is gathered. After that, only methods that take `&mut
    /// self` mutate it.
    buffer: UnsafeCell<&'a mut Buffer>,
}

impl<'a> Input<'a> {
    #[inline]
    pub(crate) fn new(buffer: &'a mut Buffer) -> Self {
        Self {
            buffer: UnsafeCell::new(buffer),
        }
    }

    /// Returns the number of bytes.
    #[inline]
    pub fn len(&self) -> usize {
        // SAFETY: The reference ends in this call, during which nothing mutates the buffer: two
        // tasks cannot use an `Input` at once.
        unsafe { (*self.buffer.get()).len() }
    }

    /// Returns true if there are no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the buffer, for [`Output::forward`](super::Output::forward).
    #[inline]
    pub(super) fn buffer(&mut self) -> &mut Buffer {
        self.buffer.get_mut()
    }

    /// Removes `count` bytes from the front, or all if there are fewer.
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
            // SAFETY: There is no other reference to the buffer. Only this method returns one;
            // after that the buffer is gathered, and stays so while the reference lives. Two tasks
            // cannot use an `Input` at once.
            unsafe { (*buffer).gather_to_see() };
        }
        // SAFETY: The returned reference borrows `self`, and nothing mutates the gathered buffer
        // while it lives.
        unsafe { (*buffer).filled() }
    }
}
