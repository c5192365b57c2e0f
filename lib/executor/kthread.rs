// SPDX-License-Identifier: GPL-2.0

//! The executor with a kernel thread for each item, which sleeps while the item is not due.

use super::{
    scratch_pool::ScratchPool,
    PollResult,
    Pollable, //
};
use crate::{
    module::kthread::{
        self,
        JoinHandle, //
    },
    sync::deadlock::ServerId, //
};
use core::fmt::Arguments;
use kernel::{
    prelude::*,
    str::CString,
    sync::Arc, //
};

/// Starts the thread of an item. May sleep.
pub(super) fn spawn<T: Pollable>(
    server: ServerId,
    name: Arguments<'_>,
    item: Arc<T>,
    pool: Arc<ScratchPool<T>>,
) -> Result<JoinHandle<()>> {
    let name = CString::try_from_fmt(name)?;
    kthread::spawn_own(server, &name, move || loop {
        item.parker().park_until(|| item.is_queued());
        // An item that is due again makes `park_until` return at once.
        if let PollResult::Closed = pool.poll(&item) {
            return;
        }
    })
}
