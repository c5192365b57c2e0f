// SPDX-License-Identifier: GPL-2.0

//! Synchronisation primitives that the `kernel` crate lacks, and the contexts in which code runs.

pub(crate) mod context;
pub(crate) mod deadlock;
pub(crate) mod latch;
pub(crate) mod lock_class;
pub(crate) mod oneshot;
pub(crate) mod parker;
pub(crate) mod run_queue;
pub(crate) mod softirq;
pub(crate) mod spinlock_bh;
