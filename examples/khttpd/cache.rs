// SPDX-License-Identifier: GPL-2.0

//! Small files, kept in memory with all that is said about them.
//!
//! What is kept is believed for a while after the file was looked up. After that it is looked up
//! again, and what is kept is given out as long as nothing about the file has changed.

use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    time::{
        Instant,
        Monotonic, //
    }, //
};
use ktcp_server::{
    fs::Metadata,
    new_spinlock_bh,
    SpinLockBh, //
};

/// How large a file can be that is kept.
pub(crate) const LARGEST: usize = 16 << 10;

/// How long the path of one can be, as it stands in a request.
const LONGEST: usize = 1024;

/// How many places a file can be kept in.
const WAYS: usize = 4;

/// A file as it was at some moment.
pub(crate) struct Entry {
    /// The path as it stands in requests.
    target: KVec<u8>,
    state: Metadata,
    /// When the file was last seen to be in that state, by the clock of the cache that keeps it.
    seen: Atomic<i64>,
    /// What is said about it, and what is in it.
    bytes: KVVec<u8>,
    head: usize,
}

impl Entry {
    /// With `head`, all that a client is told behind the date. May sleep.
    pub(crate) fn new(
        target: &[u8],
        state: Metadata,
        head: &[u8],
        read: impl FnOnce(&mut [u8]) -> Result,
    ) -> Result<Arc<Self>> {
        let mut bytes = KVVec::with_capacity(head.len() + state.size as usize, GFP_KERNEL)?;
        bytes.extend_from_slice(head, GFP_KERNEL)?;
        bytes.resize(head.len() + state.size as usize, 0, GFP_KERNEL)?;
        read(&mut bytes[head.len()..])?;
        let mut copy = KVec::with_capacity(target.len(), GFP_KERNEL)?;
        copy.extend_from_slice(target, GFP_KERNEL)?;
        let entry = Self {
            target: copy,
            state,
            seen: Atomic::new(0),
            bytes,
            head: head.len(),
        };
        Ok(Arc::new(entry, GFP_KERNEL)?)
    }

    /// The head and the content.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// When the content was last changed, in seconds since 1970.
    pub(crate) fn modified(&self) -> i64 {
        self.state.modified.seconds
    }

    /// Where the content begins.
    pub(crate) fn content_start(&self) -> usize {
        self.head
    }
}

/// The places for the files whose targets have one hash.
type Set = [Option<Arc<Entry>>; WAYS];

/// A bounded number of small files. One that comes takes the place of another.
pub(crate) struct Cache {
    sets: KVVec<Pin<KBox<SpinLockBh<Set>>>>,
    started: Instant<Monotonic>,
    /// How many milliseconds a file is believed to be as it was seen.
    believed: i64,
}

impl Cache {
    /// Room for `files` files, or a few more; none if it is 0. May sleep.
    pub(crate) fn new(files: usize, believed_millis: u32) -> Result<Self> {
        let count = files.div_ceil(WAYS);
        let mut sets = KVVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            let set: Set = [const { None }; WAYS];
            sets.push(
                KBox::pin_init(new_spinlock_bh!(set), GFP_KERNEL)?,
                GFP_KERNEL,
            )?;
        }
        Ok(Self {
            sets,
            started: Instant::now(),
            believed: believed_millis.into(),
        })
    }

    /// The time in milliseconds, by a clock that cannot be set.
    fn now(&self) -> i64 {
        self.started.elapsed().as_millis()
    }

    /// The file that was there for `target` a moment ago. Any context.
    pub(crate) fn get(&self, target: &[u8]) -> Option<Arc<Entry>> {
        let entry = self.find(target)?;
        (self.now() - entry.seen.load(Relaxed) < self.believed).then_some(entry)
    }

    /// The file for `target`, if it is kept in the state in which it was found just now. In
    /// another it is kept no more. Any context.
    pub(crate) fn get_unchanged(&self, target: &[u8], state: &Metadata) -> Option<Arc<Entry>> {
        let entry = self.find(target)?;
        if entry.state != *state {
            self.forget(&entry);
            return None;
        }
        entry.seen.store(self.now(), Relaxed);
        Some(entry)
    }

    fn forget(&self, entry: &Arc<Entry>) {
        let Some(set) = self.set_of(&entry.target) else {
            return;
        };
        let mut set = set.lock();
        let is_it = |place: &&mut Option<Arc<Entry>>| {
            place
                .as_ref()
                .is_some_and(|other| Arc::ptr_eq(other, entry))
        };
        let old = set.iter_mut().find(is_it).and_then(Option::take);
        drop(set);
        drop(old);
    }

    fn find(&self, target: &[u8]) -> Option<Arc<Entry>> {
        let set = self.set_of(target)?.lock();
        let mut entries = set.iter().flatten();
        entries.find(|entry| *entry.target == *target).cloned()
    }

    /// Keeps a file that was found just now. Any context.
    pub(crate) fn put(&self, entry: Arc<Entry>) {
        entry.seen.store(self.now(), Relaxed);
        if entry.target.len() > LONGEST {
            return;
        }
        let Some(set) = self.set_of(&entry.target) else {
            return;
        };
        let mut set = set.lock();
        let place = set
            .iter()
            .position(|other| match other {
                Some(other) => *other.target == *entry.target,
                None => true,
            })
            .unwrap_or(WAYS - 1);
        // Who came last is first, who was first for the longest time goes.
        let old = set[place].replace(entry);
        set[..=place].rotate_right(1);
        drop(set);
        drop(old);
    }

    /// The set in which a file with that target can be.
    fn set_of(&self, target: &[u8]) -> Option<&SpinLockBh<Set>> {
        // FNV-1a
        let hash = target.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        let index = (hash >> 32).checked_rem(self.sets.len() as u64)?;
        Some(self.sets.get(index as usize)?)
    }
}
