// SPDX-License-Identifier: GPL-2.0

//! The name of a server.

use core::ops::Deref;
use kernel::prelude::*;

/// A copy of a server's name. The original may belong to a module that is freed before the server.
///
/// # Invariants
///
/// `bytes` holds a NUL.
#[derive(Clone, Copy)]
pub(crate) struct Name {
    bytes: [u8; Self::MAX + 1],
    /// Length of the original name in bytes; more than `MAX` if the copy is truncated.
    given: usize,
}

impl Name {
    /// Number of bytes that a copy holds, without the NUL.
    pub(crate) const MAX: usize = 63;

    /// Copies `name`, truncated to [`MAX`](Self::MAX) bytes. Any context.
    pub(crate) fn new(name: &CStr) -> Self {
        let mut bytes = [0; Self::MAX + 1];
        // INVARIANT: The last byte is never written, so it stays NUL.
        for (byte, given) in bytes[..Self::MAX].iter_mut().zip(name.to_bytes()) {
            *byte = *given;
        }
        Self {
            bytes,
            given: name.to_bytes().len(),
        }
    }

    /// Returns the length in bytes of the original name, before truncation.
    pub(crate) fn given_len(&self) -> usize {
        self.given
    }
}

impl Deref for Name {
    type Target = CStr;

    fn deref(&self) -> &CStr {
        // By the type invariant `bytes` holds a NUL.
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}
