// SPDX-License-Identifier: GPL-2.0

//! The executor with a work item for each item that is due, on workqueues of the server.
//!
//! A workqueue runs a limited number of items at once; further ones wait until one returns. With a
//! single workqueue, that many sleeping handlers would block all others, for ever if they wait for
//! one of those. So items are divided by number into ranges that can surely run at once, and each
//! range has a workqueue. Since an item has at most one work item, no item ever waits for another.

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
/// [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h), the maximum. Much lower in the
/// KUnit suites, so that their sleeping handlers exceed it.
const MAX_ACTIVE: u32 = if cfg!(CONFIG_KTCP_KUNIT_TEST) {
    64
} else {
    WQ_MAX_ACTIVE
};

/// The workqueues, and scratch buffers for their workers.
///
/// # Invariants
///
/// The queue for an item's number exists before the item is scheduled.
pub(crate) struct Queues<T: Pollable> {
    name: Name,
    /// A queue for the numbers below `1 << shift`, one for the next `1 << shift` numbers, and so
    /// on. A queue stays once it is created.
    queues: KVVec<SetOnce<RawQueue>>,
    shift: u32,
    pool: ScratchPool<T>,
}

impl<T: Pollable> Queues<T> {
    /// Creates the queues for items with numbers below `most`. May sleep.
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
        // Most servers need no second queue.
        this.prepare(0)?;
        Ok(this)
    }

    /// Creates the queue for the item with that number, unless it exists. May sleep.
    ///
    /// One caller at a time.
    pub(super) fn prepare(&self, number: usize) -> Result {
        let slot = self.queues.get(number >> self.shift).ok_or(EINVAL)?;
        if slot.as_ref().is_none() {
            slot.populate(RawQueue::with_max_active(&self.name, MAX_ACTIVE)?);
        }
        Ok(())
    }

    /// Queues the work item of `item`. Any context.
    pub(super) fn schedule(&self, item: Arc<T>) {
        let slot = self.queues.get(item.number() >> self.shift);
        // By the type invariant the queue exists.
        if let Some(queue) = slot.and_then(SetOnce::as_ref) {
            // A scheduled item is not scheduled again, so its work item is not queued now.
            let _ = queue.enqueue(item);
        }
    }

    pub(super) fn poll(&self, item: &Arc<T>) {
        if let PollResult::Again | PollResult::NeedsProcessContext = self.pool.poll(item) {
            self.schedule(item.clone());
        }
    }

    /// Waits until all work items that are queued now have run; no more will be queued. Sleeps.
    pub(super) fn stop(&self) {
        for queue in self.queues.iter().filter_map(SetOnce::as_ref) {
            queue.flush();
        }
        self.pool.clear();
    }
}
