// SPDX-License-Identifier: GPL-2.0

//! The name of a server.

use core::ops::Deref;
use kernel::prelude::*;

/// A copy of a name: the original may be a part of a module that goes before the server is forgotten.
///
/// # Invariants
///
/// `bytes` holds a NUL.
#[derive(Clone, Copy)]
pub(crate) struct Name {
    bytes: [u8; Self::MAX + 1],
    /// Length of the name that it was made of.
    given: usize,
}

impl Name {
    /// Number of bytes that are kept, without the NUL.
    pub(crate) const MAX: usize = 63;

    /// The name, or as much of it as is kept. Any context.
    pub(crate) fn new(name: &CStr) -> Self {
        let mut bytes = [0; Self::MAX + 1];
        // INVARIANT: At most the last byte stays.
        for (byte, given) in bytes[..Self::MAX].iter_mut().zip(name.to_bytes()) {
            *byte = *given;
        }
        Self {
            bytes,
            given: name.to_bytes().len(),
        }
    }

    /// Returns how long the name was that it was made of, in bytes.
    pub(crate) fn given_len(&self) -> usize {
        self.given
    }
}

impl Deref for Name {
    type Target = CStr;

    fn deref(&self) -> &CStr {
        // By the type invariant there is one.
        CStr::from_bytes_until_nul(&self.bytes).unwrap_or(c"")
    }
}
