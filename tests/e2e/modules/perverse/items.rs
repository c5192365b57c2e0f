// SPDX-License-Identifier: GPL-2.0

//! Items of a queue, and threads, that wait for each other.
//!
//! | `program` | what it does |
//! |---|---|
//! | barrier | 1,025 items of one queue wait until all of them are running |
//! | items | two items join each other |
//! | threads | two threads join each other |
//! | ring | three threads join each other in a ring |
//! | waits | 32 items wait for a moment, in a way that a signal interrupts |
//!
//! The library promises that a queue runs all of 1,024 items at once and refuses more with `EAGAIN`,
//! that of those that join each other one is told `EDEADLK`, and that the module can be unloaded. No
//! task that runs items is left with a signal of others.

mod outcome;
mod shelf;

use self::shelf::Shelf;
use kernel::{
    new_condvar,
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full, //
        },
        Arc,
        Completion,
        CondVar,
        CondVarTimeoutResult,
        Mutex, //
    },
    time::{
        delay::fsleep,
        msecs_to_jiffies,
        Delta, //
    }, //
};
use ktcp_server::{
    kthread::{
        self,
        JoinHandle, //
    },
    workqueue::{
        OwnedQueue,
        Pending, //
    },
    Text, //
};

module! {
    type: Items,
    name: "items",
    authors: ["The ktcp_server authors"],
    description: "Items and threads that wait for each other",
    license: "GPL",
}

ktcp_server::parameters! {
    struct Parameters {
        /// What is done: barrier, items, threads, ring or waits
        program: Text<16> = Text::new("barrier"),
    }
}

/// One more than a queue runs at once.
const MANY: u32 = 1025;

/// Where items wait until all of them have come.
#[pin_data]
struct Barrier {
    /// How many have still to come: those that are refused never will.
    missing: Atomic<u32>,
    #[pin]
    open: Completion,
}

impl Barrier {
    /// Counts one that has come or never will, and opens the barrier behind the last.
    fn arrive(&self) {
        if self.missing.fetch_sub(1, Full) == 1 {
            pr_info!("all items run at once\n");
            self.open.complete_all();
        }
    }

    fn wait(&self) {
        self.arrive();
        self.open.wait_for_completion();
    }
}

fn barrier(queue: &OwnedQueue) -> Result {
    let barrier = Arc::pin_init(
        pin_init!(Barrier {
            missing: Atomic::new(MANY),
            open <- Completion::new(),
        }),
        GFP_KERNEL,
    )?;
    let mut all = 0;
    for _ in 0..MANY {
        let inside = barrier.clone();
        match queue.spawn(move || inside.wait()) {
            Ok(_) => all += 1,
            Err(error) => {
                let error = error.to_errno();
                pr_info!("the queue says {error} after {all} items\n");
                barrier.arrive();
            }
        }
    }
    Ok(())
}

/// Something that ends, which another task can wait for.
trait Join: Sized + Send + Unpin + 'static {
    fn join(self) -> Result;
}

impl Join for Pending<()> {
    fn join(self) -> Result {
        self.join()
    }
}

impl Join for JoinHandle<()> {
    fn join(self) -> Result {
        self.join()
    }
}

/// Starts `count` tasks, of which each joins the next one, and the last the first.
fn ring<T: Join>(count: usize, start: impl Fn(Member<T>) -> Result<T>) -> Result {
    let mut shelves = KVec::new();
    for _ in 0..count {
        shelves.push(Shelf::new()?, GFP_KERNEL)?;
    }
    for number in 0..count {
        let next = shelves[(number + 1) % count].clone();
        shelves[number].put(start(Member { number, next })?);
    }
    Ok(())
}

/// One of a ring.
struct Member<T> {
    number: usize,
    /// Where what it joins is found, sooner or later.
    next: Arc<Shelf<T>>,
}

impl<T: Join> Member<T> {
    fn run(self) {
        let next = loop {
            match self.next.take() {
                Some(next) => break next,
                None => fsleep(Delta::from_millis(2)),
            }
        };
        // So that all of them wait at the same time.
        fsleep(Delta::from_millis(20));
        let ended = outcome::number(next.join());
        pr_info!("{}: joining ends with {}\n", self.number, ended);
    }
}

fn threads(module: &'static ThisModule, count: usize) -> Result {
    ring(count, |member: Member<JoinHandle<()>>| {
        kthread::spawn(module, c"items/ring", move |_| member.run())
    })
}

/// For those who wait in vain.
#[pin_data]
struct Vain {
    #[pin]
    lock: Mutex<()>,
    #[pin]
    event: CondVar,
}

impl Vain {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                lock <- new_mutex!(()),
                event <- new_condvar!(),
            }),
            GFP_KERNEL,
        )
    }

    /// Whether a signal has ended the wait.
    fn is_interrupted(&self) -> bool {
        let mut guard = self.lock.lock();
        let jiffies = msecs_to_jiffies(50);
        let ended = self.event.wait_interruptible_timeout(&mut guard, jiffies);
        matches!(ended, CondVarTimeoutResult::Signal { .. })
    }
}

fn waits(queue: &OwnedQueue) -> Result {
    let vain = Vain::new()?;
    let mut waiting = KVec::new();
    for _ in 0..32 {
        let vain = vain.clone();
        waiting.push(queue.spawn(move || vain.is_interrupted())?, GFP_KERNEL)?;
    }
    let mut interrupted = 0;
    for pending in waiting {
        if pending.join()? {
            interrupted += 1;
        }
    }
    pr_info!("of 32 waits {interrupted} are interrupted\n");
    Ok(())
}

struct Items {
    _queue: OwnedQueue,
}

impl kernel::Module for Items {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let queue = OwnedQueue::new(module, c"items")?;
        match Parameters::read()?.program.as_str() {
            "barrier" => barrier(&queue),
            "items" => ring(2, |member: Member<Pending<()>>| {
                queue.spawn(move || member.run())
            }),
            "threads" => threads(module, 2),
            "ring" => threads(module, 3),
            "waits" => waits(&queue),
            _ => Err(EINVAL),
        }?;
        Ok(Self { _queue: queue })
    }
}
