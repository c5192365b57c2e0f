// SPDX-License-Identifier: GPL-2.0

//! The loop of one CPU: a poller in softirq context and a thread.

use crate::{
    executor::{
        PollResult,
        Pollable,
        Scratch, //
    },
    module::kthread::{
        self,
        JoinHandle, //
    },
    stats::Counters,
    sync::{
        deadlock::ServerId,
        latch::Latch,
        lock_class::new_mutex,
        parker::Parker,
        run_queue::{
            Batch,
            RunQueue, //
        },
        softirq::{
            BhDisabled,
            BhToken,
            Poll, //
        }, //
    },
    util::cpu, //
};
use core::{
    cell::UnsafeCell,
    ptr, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    }, //
};

/// Number of polls that must not sleep which a thread makes before it lets softirqs run: the answers of
/// all of them are delivered at once then.
const BATCH: usize = 64;

/// Number of bytes that they move. Until softirqs run, what is sent to this machine itself waits in a queue
/// of a thousand packets (`net.core.netdev_max_backlog`), and what it does not take is lost.
const BATCH_BYTES: usize = 4 << 20;

/// Length of "the last moment", in jiffies.
const MOMENT: usize = 1;

/// The thread's half of a loop, in cache lines of its own.
#[pin_data]
#[repr(align(64))]
pub(super) struct Loop<T: Pollable> {
    counters: Arc<Counters>,
    /// The thread that runs it, until it is joined.
    #[pin]
    thread: Mutex<Option<JoinHandle<()>>>,
    ready: RunQueue<T>,
    parker: Parker,
    /// The item that has become due last on the CPU of this loop. Only compared.
    last: Atomic<*const T>,
    /// The time of that, in jiffies.
    last_time: Atomic<usize>,
    #[pin]
    stop: Latch,
}

impl<T: Pollable> Loop<T> {
    fn new(counters: Arc<Counters>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                counters,
                thread <- new_mutex!(None),
                ready: RunQueue::new(),
                parker: Parker::new(),
                last: Atomic::new(ptr::null()),
                last_time: Atomic::new(0),
                stop <- Latch::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Starts the thread of a new loop, which prefers to run on `cpu`. May sleep.
    pub(super) fn start(self: &Arc<Self>, cpu: u32, server: &CStr, atomic: bool) -> Result {
        let name = CString::try_from_fmt(fmt!("{server}/loop{cpu}"))?;
        let this = self.clone();
        let thread =
            kthread::spawn_preferring(ServerId::of(&*self.counters), cpu, &name, move || {
                if atomic {
                    // The pollers are there for those who cannot wait.
                    kthread::use_batch_policy();
                }
                this.run();
            })?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Lets the thread leave its CPU. May sleep.
    pub(super) fn unbind(&self) {
        if let Some(thread) = &*self.thread.lock() {
            thread.unbind();
        }
    }

    /// Has the thread end soon. Any context.
    pub(super) fn request_stop(&self) {
        self.stop.open();
        self.parker.unpark();
    }

    /// Has the thread end, and waits for it. Sleeps.
    pub(super) fn join(&self) {
        // Opening is no full barrier: a thread that parks for the first time just now may miss both the
        // latch and the wake-up. Dropping its handle wakes it once more.
        self.request_stop();
        let thread = self.thread.lock().take();
        drop(thread);
    }

    /// Notes that something has arrived for a task, on the loop's CPU. Says whether nothing
    /// has arrived there for another in the last moment.
    #[inline]
    pub(super) fn note_arrival(&self, item: &T) -> bool {
        let now = cpu::jiffies();
        let same = ptr::eq(self.last.xchg(item, Relaxed), item);
        let then = self.last_time.load(Relaxed);
        if then != now {
            self.last_time.store(now, Relaxed);
        }
        same || now.wrapping_sub(then) > MOMENT
    }

    /// Returns true if something has arrived on the loop's CPU in the last moment.
    pub(super) fn has_arrivals(&self) -> bool {
        cpu::jiffies().wrapping_sub(self.last_time.load(Relaxed)) <= MOMENT
    }

    /// Has a task polled by the thread. Any context.
    pub(super) fn enqueue(&self, item: Arc<T>) {
        if self.ready.push(item) {
            self.parker.unpark();
        }
    }

    /// Polls `first` and others from `batch` with softirqs off, so that the answers of all of them
    /// are delivered at once. Returns the first for which that is not enough.
    fn poll_bh(
        &self,
        first: Arc<T>,
        batch: &mut Batch<T>,
        scratch: &mut T::Scratch,
    ) -> Option<Arc<T>> {
        let off = BhDisabled::new();
        let mut item = first;
        let mut polls = 0;
        let left = loop {
            match item.poll_bh(off.token(), scratch) {
                PollResult::Idle | PollResult::Closed => {}
                PollResult::Again => self.enqueue(item),
                PollResult::NeedsProcessContext => break Some(item),
            }
            polls += 1;
            if polls == BATCH || scratch.stats().bytes() >= BATCH_BYTES {
                break None;
            }
            item = match batch.next() {
                Some(next) => next,
                None => break None,
            };
        };
        self.counters.add_batch(scratch.stats());
        left
    }

    fn run(&self) {
        let mut scratch = T::Scratch::default();
        while !self.stop.is_open() {
            let mut batch = self.ready.take_all();
            while let Some(item) = batch.next() {
                let item = if item.can_poll_bh() {
                    match self.poll_bh(item, &mut batch, &mut scratch) {
                        Some(left) => left,
                        None => continue,
                    }
                } else {
                    item
                };
                if let PollResult::Again | PollResult::NeedsProcessContext = item.poll(&mut scratch)
                {
                    self.enqueue(item);
                }
            }
            self.parker
                .park_until(|| !self.ready.is_empty() || self.stop.is_open());
        }
    }
}

/// The part of a poller that it alone touches.
struct Own<T: Pollable> {
    batch: Batch<T>,
    scratch: T::Scratch,
}

impl<T: Pollable> Default for Own<T> {
    fn default() -> Self {
        Self {
            batch: Batch::default(),
            scratch: T::Scratch::default(),
        }
    }
}

/// The half of a loop that is in softirq context.
///
/// # Invariants
///
/// `own` is used by `poll` alone, which does not run while it runs; and by who stops the loops, once
/// it runs no more.
pub(super) struct Poller<T: Pollable> {
    pub(super) thread: Arc<Loop<T>>,
    pub(super) due: RunQueue<T>,
    own: UnsafeCell<Own<T>>,
}

// SAFETY: By the type invariant `own` has one user at a time, and it is `Send`; the rest is `Sync`.
unsafe impl<T: Pollable> Sync for Poller<T> {}

impl<T: Pollable> Poller<T> {
    /// May sleep.
    pub(super) fn new(counters: Arc<Counters>) -> Result<Self> {
        // INVARIANT: Nothing calls `poll` yet.
        Ok(Self {
            thread: Loop::new(counters)?,
            due: RunQueue::new(),
            own: UnsafeCell::new(Own::default()),
        })
    }

    /// Frees what polls have left.
    ///
    /// # Safety
    ///
    /// No poller runs any more, and this is called by the one task that stops the server.
    pub(super) unsafe fn clear(&self) {
        // SAFETY: By this function's contract.
        unsafe { *self.own.get() = Own::default() };
    }
}

impl<T: Pollable> Drop for Poller<T> {
    fn drop(&mut self) {
        self.thread.join();
    }
}

impl<T: Pollable> Poll for Poller<T> {
    fn poll(&self, bh: BhToken<'_>, budget: u32) -> u32 {
        // SAFETY: By the type invariant.
        let own = unsafe { &mut *self.own.get() };
        let mut done = 0;
        while done < budget {
            let next = own.batch.next().or_else(|| {
                own.batch = self.due.take_all();
                own.batch.next()
            });
            let Some(item) = next else {
                break;
            };
            done += 1;
            if own.scratch.stats().bytes() >= BATCH_BYTES {
                // To be called again, when others have had their turn.
                done = budget;
            }
            match item.poll_bh(bh, &mut own.scratch) {
                PollResult::Idle | PollResult::Closed => {}
                // One with much to do must not keep the CPU.
                PollResult::Again | PollResult::NeedsProcessContext => self.thread.enqueue(item),
            }
        }
        self.thread.counters.add_batch(own.scratch.stats());
        done
    }
}
