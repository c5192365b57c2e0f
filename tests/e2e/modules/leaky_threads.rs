// SPDX-License-Identifier: GPL-2.0

//! Threads and a queue that their module leaks, as safe code may.

use kernel::{
    prelude::*,
    sync::Arc,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use ktcp_server::{
    kthread,
    workqueue::OwnedQueue, //
};

module! {
    type: LeakyThreads,
    name: "leaky_threads",
    authors: ["The ktcp_server authors"],
    description: "Leaks threads and a queue",
    license: "GPL",
}

struct LeakyThreads;

/// Keeps the queue busy with items that queue items.
fn busy(queue: &Arc<OwnedQueue>) -> Result {
    let again = queue.clone();
    queue.spawn(move || {
        fsleep(Delta::from_millis(2));
        // Until the queue takes no more.
        let _ = busy(&again);
    })?;
    Ok(())
}

impl kernel::Module for LeakyThreads {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let queue = Arc::new(OwnedQueue::new(module, c"leaky/queue")?, GFP_KERNEL)?;
        for _ in 0..4 {
            busy(&queue)?;
        }
        // One that waits, and stays a while after it was asked to stop.
        core::mem::forget(kthread::spawn(module, c"leaky/waits", |stop| {
            while !stop.wait(Delta::from_secs(60)) {}
            fsleep(Delta::from_millis(100));
            pr_info!("asked to stop\n");
        })?);
        // One that starts others, which end by themselves at any time.
        core::mem::forget(kthread::spawn(module, c"leaky/starts", move |stop| {
            while !stop.wait(Delta::from_millis(1)) {
                match kthread::spawn(module, c"leaky/short", |stop| {
                    stop.wait(Delta::from_millis(1))
                }) {
                    Ok(thread) => thread.detach(),
                    Err(_) => return,
                }
            }
        })?);
        core::mem::forget(queue);
        Ok(Self)
    }
}
