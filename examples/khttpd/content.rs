// SPDX-License-Identifier: GPL-2.0

//! The contents of responses, and how they get to the socket.

use crate::{
    cache::Entry,
    http::site::{
        Broken,
        Content,
        Sink, //
    }, //
};
use core::ops::Range;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use ktcp_server::{
    error::ENOBUFS,
    fs::{
        File,
        Wait, //
    },
    Output, //
};

/// The content of a response.
pub(crate) enum Body {
    /// Of a small file; a range of all that is kept of it.
    Kept {
        entry: Arc<Entry>,
        range: Range<usize>,
    },
    /// Of a page that was made for it, or the end of a head.
    Made { page: KVVec<u8>, sent: usize },
    /// Of a large file.
    File { file: File, range: Range<u64> },
}

/// Where responses go.
pub(crate) struct Out<'a, 'b>(pub(crate) &'a mut Output<'b>);

impl Sink for Out<'_, '_> {
    fn room(&self) -> usize {
        self.0.room()
    }

    fn write(&mut self, data: &[u8]) {
        // There is room.
        let _ = self.0.write(data);
    }

    fn wait_for_room(&mut self) {
        self.0.wait_for_room();
    }
}

impl Out<'_, '_> {
    /// Writes as much of `data` as there is room for; says how much.
    fn write_some(&mut self, data: &[u8]) -> usize {
        let count = data.len().min(self.room());
        self.write(&data[..count]);
        if count < data.len() {
            self.wait_for_room();
        }
        count
    }
}

impl Content<Out<'_, '_>> for Body {
    fn send(&mut self, sink: &mut Out<'_, '_>) -> Result<bool, Broken> {
        match self {
            Self::Kept { entry, range } => {
                let rest = entry.bytes().get(range.clone()).ok_or(Broken)?;
                range.start += sink.write_some(rest);
                Ok(range.start == range.end)
            }
            Self::Made { page, sent } => {
                *sent += sink.write_some(page.get(*sent..).ok_or(Broken)?);
                Ok(*sent == page.len())
            }
            Self::File { file, range } => {
                match sink.0.send_file(file, range.clone()) {
                    // The rest is the library's business.
                    Ok(()) => return Ok(true),
                    Err(ENOBUFS) => return Ok(false),
                    // Not every file system can: then it is copied.
                    Err(_) => {}
                }
                while !range.is_empty() {
                    let left = range.end - range.start;
                    match sink.0.read_from(file, range.start, left, Wait::Yes) {
                        // Somebody has cut the file short.
                        Ok(0) if sink.room() > 0 => return Err(Broken),
                        Ok(0) => {
                            sink.wait_for_room();
                            return Ok(false);
                        }
                        Ok(count) => range.start += count as u64,
                        Err(_) => return Err(Broken),
                    }
                }
                Ok(true)
            }
        }
    }
}
