// SPDX-License-Identifier: GPL-2.0

//! A module that has another one, `lender`, run its code and use its names, and goes.
//!
//! | `program` | what it does |
//! |---|---|
//! | spawn | puts a closure on the queue of the lender |
//! | enqueue | puts a work item there |
//! | module | makes a queue for the lender, puts both there, and leaks it |
//! | names | has the lender use a name that is part of this module |
//!
//! The library promises that it refuses the closures and the items, with a line in the log, and that
//! nothing uses what is gone when this module is.

mod outcome;

use core::mem::forget;
use kernel::{
    impl_has_work,
    new_work,
    prelude::*,
    sync::Arc,
    time::{
        delay::fsleep,
        Delta, //
    },
    workqueue::{
        Work,
        WorkItem, //
    }, //
};
use ktcp_server::{
    workqueue::OwnedQueue,
    Text, //
};

module! {
    type: Borrower,
    name: "borrower",
    authors: ["The ktcp_server authors"],
    description: "Uses what it has borrowed",
    license: "GPL",
}

ktcp_server::parameters! {
    struct Parameters {
        /// What is done: spawn, enqueue, module or names
        program: Text<16> = Text::new("spawn"),
    }
}

/// What is run when this module may be gone.
fn run() {
    fsleep(Delta::from_secs(1));
    pr_info!("code of the borrower runs\n");
}

#[pin_data]
struct Item {
    #[pin]
    work: Work<Item>,
}

impl_has_work! {
    impl HasWork<Self> for Item { self.work }
}

impl WorkItem for Item {
    type Pointer = Arc<Item>;

    fn run(_this: Arc<Item>) {
        run();
    }
}

fn spawn(queue: &OwnedQueue) {
    pr_info!("spawning ends with {}\n", outcome::number(queue.spawn(run)));
}

fn enqueue(queue: &OwnedQueue) -> Result {
    let item = Arc::pin_init(
        pin_init!(Item {
            work <- new_work!("Item::work"),
        }),
        GFP_KERNEL,
    )?;
    match queue.enqueue(item) {
        Ok(_) => pr_info!("the item is taken\n"),
        Err(_) => pr_info!("the item is refused\n"),
    }
    Ok(())
}

struct Borrower;

impl kernel::Module for Borrower {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        match Parameters::read()?.program.as_str() {
            "spawn" => spawn(lender::queue()?),
            "enqueue" => enqueue(lender::queue()?)?,
            "module" => {
                let queue = OwnedQueue::new(lender::module()?, c"borrowed")?;
                spawn(&queue);
                enqueue(&queue)?;
                forget(queue);
            }
            "names" => lender::serve(c"borrowed")?,
            _ => return Err(EINVAL),
        }
        Ok(Self)
    }
}
