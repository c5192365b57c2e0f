// SPDX-License-Identifier: GPL-2.0

//! The loop of one CPU: a thread, and a poller in softirq context.

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

/// Number of polls that a thread makes with softirqs disabled before it lets them run, which
/// delivers the answers of all of them at once.
const BATCH: usize = 64;

/// Number of bytes that such a batch of polls moves at most. Until softirqs run, packets over the
/// loopback device wait in a queue of a thousand (`net.core.netdev_max_backlog`), and further ones
/// are dropped.
const BATCH_BYTES: usize = 4 << 20;

/// The age in jiffies up to which an arrival counts as recent.
const RECENT: usize = 1;

/// The half of a loop that runs in a thread, in cache lines of its own.
#[pin_data]
#[repr(align(64))]
pub(super) struct Loop<T: Pollable> {
    counters: Arc<Counters>,
    /// The thread of this loop, until it is joined.
    #[pin]
    thread: Mutex<Option<JoinHandle<()>>>,
    ready: RunQueue<T>,
    parker: Parker,
    /// The item that became due last on the CPU of this loop; only compared.
    last: Atomic<*const T>,
    /// The time at which it became due, in jiffies.
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
                    // Items that need low latency are polled in softirqs.
                    kthread::use_batch_policy();
                }
                this.run();
            })?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Lets the thread run on any CPU. May sleep.
    pub(super) fn unbind(&self) {
        if let Some(thread) = &*self.thread.lock() {
            thread.unbind();
        }
    }

    /// Asks the thread to end. Any context.
    pub(super) fn request_stop(&self) {
        self.stop.open();
        self.parker.unpark();
    }

    /// Asks the thread to end and waits for it. Sleeps.
    pub(super) fn join(&self) {
        // Opening the latch is no full barrier: a thread that parks for the first time at this
        // moment may miss both the latch and the wake-up. Dropping its handle wakes it once more.
        self.request_stop();
        let thread = self.thread.lock().take();
        drop(thread);
    }

    /// Records an arrival for `item` on the CPU of this loop. Returns true if there was no recent
    /// arrival for another item.
    #[inline]
    pub(super) fn note_arrival(&self, item: &T) -> bool {
        let now = cpu::jiffies();
        let same = ptr::eq(self.last.xchg(item, Relaxed), item);
        let then = self.last_time.load(Relaxed);
        if then != now {
            self.last_time.store(now, Relaxed);
        }
        same || now.wrapping_sub(then) > RECENT
    }

    /// Returns true if there was a recent arrival on the CPU of this loop.
    pub(super) fn has_arrivals(&self) -> bool {
        cpu::jiffies().wrapping_sub(self.last_time.load(Relaxed)) <= RECENT
    }

    /// Has an item polled by the thread. Any context.
    pub(super) fn enqueue(&self, item: Arc<T>) {
        if self.ready.push(item) {
            self.parker.unpark();
        }
    }

    /// Polls `first` and more items of `batch` with softirqs disabled, so that the answers of all
    /// are delivered at once. Stops at an item that needs process context, and returns it.
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

/// The state of a poller that only its `poll` uses.
struct PollerState<T: Pollable> {
    batch: Batch<T>,
    scratch: T::Scratch,
}

impl<T: Pollable> Default for PollerState<T> {
    fn default() -> Self {
        Self {
            batch: Batch::default(),
            scratch: T::Scratch::default(),
        }
    }
}

/// The half of a loop that runs in softirq context.
///
/// # Invariants
///
/// `state` is accessed by `poll` alone, which is never called again before it returns, and by the
/// task that stops the loops, after the last `poll`.
pub(super) struct Poller<T: Pollable> {
    pub(super) thread: Arc<Loop<T>>,
    pub(super) due: RunQueue<T>,
    state: UnsafeCell<PollerState<T>>,
}

// SAFETY: By the type invariant `state` has one user at a time, and its type is `Send`; the other
// fields are `Sync`.
unsafe impl<T: Pollable> Sync for Poller<T> {}

impl<T: Pollable> Poller<T> {
    /// Creates a poller and its loop. May sleep.
    pub(super) fn new(counters: Arc<Counters>) -> Result<Self> {
        // INVARIANT: `poll` is not called yet.
        Ok(Self {
            thread: Loop::new(counters)?,
            due: RunQueue::new(),
            state: UnsafeCell::new(PollerState::default()),
        })
    }

    /// Frees the items and buffers that polls have left.
    ///
    /// # Safety
    ///
    /// No poller runs any more, and only the task that stops the server calls this.
    pub(super) unsafe fn clear(&self) {
        // SAFETY: By this function's contract.
        unsafe { *self.state.get() = PollerState::default() };
    }
}

impl<T: Pollable> Drop for Poller<T> {
    fn drop(&mut self) {
        self.thread.join();
    }
}

impl<T: Pollable> Poll for Poller<T> {
    fn poll(&self, bh: BhToken<'_>, budget: u32) -> u32 {
        // SAFETY: By the type invariant only this call accesses `state`.
        let state = unsafe { &mut *self.state.get() };
        let mut done = 0;
        while done < budget {
            let next = state.batch.next().or_else(|| {
                state.batch = self.due.take_all();
                state.batch.next()
            });
            let Some(item) = next else {
                break;
            };
            done += 1;
            if state.scratch.stats().bytes() >= BATCH_BYTES {
                // `budget` asks NAPI to call again, after other pollers had their turn.
                done = budget;
            }
            match item.poll_bh(bh, &mut state.scratch) {
                PollResult::Idle | PollResult::Closed => {}
                // An item with much to do must not keep the CPU in softirq context.
                PollResult::Again | PollResult::NeedsProcessContext => self.thread.enqueue(item),
            }
        }
        self.thread.counters.add_batch(state.scratch.stats());
        done
    }
}
