// SPDX-License-Identifier: GPL-2.0

//! Text that is made for a response.

use core::fmt;
use kernel::prelude::*;

use crate::http::html;

/// A text, at most as long as its limit.
pub(crate) struct Page {
    bytes: KVVec<u8>,
    limit: usize,
}

impl Page {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            bytes: KVVec::new(),
            limit,
        }
    }

    /// Adds `text` as it is: `fmt::Error` when there is no memory, or when it gets too long.
    pub(crate) fn push(&mut self, text: &[u8]) -> fmt::Result {
        if text.len() > self.limit - self.bytes.len() {
            return Err(fmt::Error);
        }
        self.bytes
            .extend_from_slice(text, GFP_KERNEL)
            .map_err(|_| fmt::Error)
    }

    /// Adds `text` so that it means itself in HTML.
    pub(crate) fn push_escaped(&mut self, text: &[u8]) -> fmt::Result {
        html::escape(text, |piece| self.push(piece))
    }

    /// Adds `path` so that it means itself in a reference.
    pub(crate) fn push_encoded(&mut self, path: &[u8]) -> fmt::Result {
        html::encode(path, |piece| self.push(piece))
    }

    pub(crate) fn into_bytes(self) -> KVVec<u8> {
        self.bytes
    }
}

impl fmt::Write for Page {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes())
    }
}
