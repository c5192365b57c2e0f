// SPDX-License-Identifier: GPL-2.0

//! Threads and queues that run code of a module, and the registry that ends all of them before the
//! module's memory is freed.

pub(crate) mod cleanup;
pub(crate) mod debugfs;
pub mod kthread;
pub(crate) mod library;
pub(crate) mod raw_queue;
pub(crate) mod registry;
pub mod workqueue;
