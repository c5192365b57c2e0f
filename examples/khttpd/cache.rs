// SPDX-License-Identifier: GPL-2.0

//! Small files, kept in memory.
//!
//! A file that is kept is still looked up for each request, which costs no more than a walk through
//! the kernel's own cache of names, and given out only as long as nothing about it has changed.

use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};
use ktcp_server::fs::Metadata;

/// How large a file can be that is kept.
pub(crate) const LARGEST: usize = 16 << 10;

/// How many places a file can be kept in.
const WAYS: usize = 4;

/// A file as it was at some moment.
pub(crate) struct Entry {
    path: KVec<u8>,
    state: Metadata,
    content: KVVec<u8>,
}

impl Entry {
    /// May sleep.
    pub(crate) fn new(path: &[u8], state: Metadata, content: KVVec<u8>) -> Result<Arc<Self>> {
        let mut copy = KVec::with_capacity(path.len(), GFP_KERNEL)?;
        copy.extend_from_slice(path, GFP_KERNEL)?;
        let entry = Self {
            path: copy,
            state,
            content,
        };
        Ok(Arc::new(entry, GFP_KERNEL)?)
    }

    pub(crate) fn content(&self) -> &[u8] {
        &self.content
    }
}

/// The places for the files whose paths have one hash.
type Set = [Option<Arc<Entry>>; WAYS];

/// A bounded number of small files. One that comes takes the place of another.
pub(crate) struct Cache {
    sets: Pin<KBox<Mutex<KVVec<Set>>>>,
}

impl Cache {
    /// Room for `files` files, or a few more; none if it is 0. May sleep.
    pub(crate) fn new(files: usize) -> Result<Self> {
        let count = files.div_ceil(WAYS);
        let mut sets = KVVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            sets.push([const { None }; WAYS], GFP_KERNEL)?;
        }
        Ok(Self {
            sets: KBox::pin_init(new_mutex!(sets), GFP_KERNEL)?,
        })
    }

    /// The file at `path`, if it is kept and still in this state. May sleep.
    pub(crate) fn get(&self, path: &[u8], state: &Metadata) -> Option<Arc<Entry>> {
        let mut sets = self.sets.lock();
        let set = set_of(&mut sets, path)?;
        let entry = set.iter().flatten().find(|entry| *entry.path == *path)?;
        (entry.state == *state).then(|| entry.clone())
    }

    /// Keeps a file. May sleep.
    pub(crate) fn put(&self, entry: Arc<Entry>) {
        let mut sets = self.sets.lock();
        let Some(set) = set_of(&mut sets, &entry.path) else {
            return;
        };
        let place = set
            .iter()
            .position(|other| match other {
                Some(other) => *other.path == *entry.path,
                None => true,
            })
            .unwrap_or(WAYS - 1);
        // Who came last is first, who was first for the longest time goes.
        let old = set[place].replace(entry);
        set[..=place].rotate_right(1);
        drop(sets);
        drop(old);
    }
}

/// The set in which a file with that path can be.
fn set_of<'a>(sets: &'a mut KVVec<Set>, path: &[u8]) -> Option<&'a mut Set> {
    // FNV-1a
    let hash = path.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let count = sets.len().max(1) as u64;
    sets.get_mut(((hash >> 32) % count) as usize)
}
