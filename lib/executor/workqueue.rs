// SPDX-License-Identifier: GPL-2.0

//! A work item for each item that is due, on workqueues of the server's own.
//!
//! A workqueue runs so many items at once and no more: the next waits until one of them returns. Were
//! all items on one workqueue, so many handlers that sleep would keep all others waiting, and
//! for ever if they wait for one of those. So there is a workqueue for each run of items, by their
//! numbers, that surely can run at once: an item has one work item at most, and no item ever waits for
//! another.

use super::{
    scratch_pool::ScratchPool,
    PollResult,
    Pollable, //
};
use crate::{
    module::raw_queue::{
        surely_active,
        RawQueue, //
    },
    shim::layout::WQ_MAX_ACTIVE,
    util::name::Name, //
};
use kernel::{
    prelude::*,
    sync::{
        Arc,
        SetOnce, //
    }, //
};

/// Number of items that a workqueue runs at once: `WQ_MAX_ACTIVE` of
/// [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h), the most there is. So few where
/// the suites run that these have more sleepers than that.
const MAX_ACTIVE: u32 = if cfg!(CONFIG_KTCP_KUNIT_TEST) {
    64
} else {
    WQ_MAX_ACTIVE
};

/// The workqueues, and scratch buffers for their workers.
///
/// # Invariants
///
/// A queue is there before an item with a number of its run is scheduled.
pub(crate) struct Queues<T: Pollable> {
    name: Name,
    /// A queue for the numbers below `1 << shift`, one for as many after these, and so on. It stays,
    /// once it is made.
    queues: KVVec<SetOnce<RawQueue>>,
    shift: u32,
    pool: ScratchPool<T>,
}

impl<T: Pollable> Queues<T> {
    /// For items with numbers below `most`. May sleep.
    pub(super) fn new(name: Name, most: usize) -> Result<Self> {
        let shift = surely_active(MAX_ACTIVE).max(1).ilog2();
        let count = most.div_ceil(1 << shift);
        let mut queues = KVVec::with_capacity(count, GFP_KERNEL)?;
        for _ in 0..count {
            queues.push(SetOnce::new(), GFP_KERNEL)?;
        }
        let this = Self {
            name,
            queues,
            shift,
            pool: ScratchPool::new()?,
        };
        // Most servers need no other.
        this.prepare(0)?;
        Ok(this)
    }

    /// Makes the queue for the item with that number, unless it is there. May sleep.
    ///
    /// By one caller at a time.
    pub(super) fn prepare(&self, number: usize) -> Result {
        let slot = self.queues.get(number >> self.shift).ok_or(EINVAL)?;
        if slot.as_ref().is_none() {
            slot.populate(RawQueue::with_max_active(&self.name, MAX_ACTIVE)?);
        }
        Ok(())
    }

    /// Any context.
    pub(super) fn schedule(&self, item: Arc<T>) {
        let slot = self.queues.get(item.number() >> self.shift);
        // By the type invariant the queue is there.
        if let Some(queue) = slot.and_then(SetOnce::as_ref) {
            // An item that is scheduled is not scheduled again, so it is not queued now.
            let _ = queue.enqueue(item);
        }
    }

    pub(super) fn poll(&self, item: &Arc<T>) {
        if let PollResult::Again | PollResult::NeedsProcessContext = self.pool.poll(item) {
            self.schedule(item.clone());
        }
    }

    /// Returns when all work that is queued now has been done, which is the last. Sleeps.
    pub(super) fn stop(&self) {
        for queue in self.queues.iter().filter_map(SetOnce::as_ref) {
            queue.flush();
        }
        self.pool.clear();
    }
}
