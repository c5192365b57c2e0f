// SPDX-License-Identifier: GPL-2.0

//! The lock-free parts of `lib/sync/`.

#[path = "../../../lib/sync/latch.rs"]
pub(crate) mod latch;
#[path = "../../../lib/sync/parker.rs"]
pub(crate) mod parker;
#[path = "../../../lib/sync/run_queue.rs"]
pub(crate) mod run_queue;
