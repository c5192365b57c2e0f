// SPDX-License-Identifier: GPL-2.0

//! A loop for each CPU, in softirq context where the handler can do with that, and in a thread.
//!
//! A connection to which something has arrived while nothing else does is visited on the CPU where
//! that was: no other CPU has to be woken, which takes longer than the visit. If its handler does
//! not sleep, or tries without, the visit is even part of the softirq that has received the bytes,
//! and no task has to be woken at all. When connections become due one after the other on a CPU, they are visited on
//! other CPUs, so that the one goes on receiving while the others answer, in batches.

use crate::{
    connection::{
        After,
        Connection, //
    },
    conversation::Spare,
    deadlock::ServerId,
    kthread::{
        self,
        JoinHandle, //
    },
    latch::Latch,
    lock_class::new_mutex,
    parker::Parker,
    ready::{
        Batch,
        RunQueue, //
    },
    softirq::{
        Atomically,
        Poll,
        Pollers,
        SoftirqsOff, //
    },
    stats::Counters, //
};
use core::cell::UnsafeCell;
use kernel::{
    cpu::{
        self,
        CpuId, //
    },
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

/// How many visits that must not sleep a thread makes before it lets softirqs run: the answers of
/// all of them are delivered at once then.
const BATCH: usize = 64;

/// How many bytes they move. Until softirqs run, what is sent to this machine itself waits in a queue
/// of a thousand packets (`net.core.netdev_max_backlog`), and what it does not take is lost.
const BATCH_BYTES: usize = 4 << 20;

/// What is "the last moment", in jiffies.
const MOMENT: usize = 1;

/// The thread's half of a loop, in cache lines of its own.
#[pin_data]
#[repr(align(64))]
struct Loop {
    counters: Arc<Counters>,
    ready: RunQueue<Connection>,
    parker: Parker,
    /// The connection that has become due last on the CPU of this loop. Only compared.
    last: Atomic<*const Connection>,
    /// When that was, in jiffies.
    last_time: Atomic<usize>,
    #[pin]
    stop: Latch,
}

impl Loop {
    fn new(counters: Arc<Counters>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                counters,
                ready: RunQueue::new(),
                parker: Parker::new(),
                last: Atomic::new(core::ptr::null()),
                last_time: Atomic::new(0),
                stop <- Latch::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Notes that something has arrived for a connection, on the loop's CPU. Says whether nothing
    /// has arrived there for another in the last moment.
    #[inline]
    fn note_arrival(&self, connection: &Connection) -> bool {
        let now = kthread::jiffies();
        let same = self.last.xchg(connection, Relaxed) == connection;
        let then = self.last_time.load(Relaxed);
        if then != now {
            self.last_time.store(now, Relaxed);
        }
        same || now.wrapping_sub(then) > MOMENT
    }

    /// Whether something has arrived on the loop's CPU in the last moment.
    fn has_arrivals(&self) -> bool {
        kthread::jiffies().wrapping_sub(self.last_time.load(Relaxed)) <= MOMENT
    }

    /// Has a connection visited by the thread. Any context.
    fn enqueue(&self, connection: Arc<Connection>) {
        if self.ready.push(connection) {
            self.parker.unpark();
        }
    }

    /// Visits `first` and others from `batch` with softirqs off, so that the answers of all of them
    /// are delivered at once. Returns the first for which that is not enough.
    fn visit_atomically(
        &self,
        first: Arc<Connection>,
        batch: &mut Batch<Connection>,
        spare: &mut Spare,
    ) -> Option<Arc<Connection>> {
        let off = SoftirqsOff::new();
        let mut connection = first;
        let mut visits = 0;
        let left = loop {
            match connection.visit_atomically(off.witness(), spare) {
                After::Idle | After::Gone => {}
                After::Again => self.enqueue(connection),
                After::Elsewhere => break Some(connection),
            }
            visits += 1;
            if visits == BATCH || spare.tally.bytes() >= BATCH_BYTES {
                break None;
            }
            connection = match batch.next() {
                Some(next) => next,
                None => break None,
            };
        };
        self.counters.settle(&mut spare.tally);
        left
    }

    fn run(&self) {
        let mut spare = Spare::default();
        while !self.stop.is_open() {
            let mut batch = self.ready.take_all();
            while let Some(connection) = batch.next() {
                let connection = if connection.is_atomic() {
                    match self.visit_atomically(connection, &mut batch, &mut spare) {
                        Some(left) => left,
                        None => continue,
                    }
                } else {
                    connection
                };
                if let After::Again | After::Elsewhere = connection.visit(&mut spare) {
                    self.enqueue(connection);
                }
            }
            self.parker
                .park_until(|| !self.ready.is_empty() || self.stop.is_open());
        }
    }
}

/// What only the poller itself touches.
#[derive(Default)]
struct Own {
    batch: Batch<Connection>,
    spare: Spare,
}

/// The half of a loop that is in softirq context.
///
/// # Invariants
///
/// `own` is used by `poll` alone, which does not run while it runs; and by who stops the loops, once
/// it runs no more.
struct Poller {
    thread: Arc<Loop>,
    due: RunQueue<Connection>,
    own: UnsafeCell<Own>,
}

// SAFETY: By the type invariant `own` has one user at a time, and it is `Send`; the rest is `Sync`.
unsafe impl Sync for Poller {}

impl Poll for Poller {
    fn poll(&self, atomically: Atomically<'_>, budget: u32) -> u32 {
        // SAFETY: By the type invariant.
        let own = unsafe { &mut *self.own.get() };
        let mut done = 0;
        while done < budget {
            let next = own.batch.next().or_else(|| {
                own.batch = self.due.take_all();
                own.batch.next()
            });
            let Some(connection) = next else {
                break;
            };
            done += 1;
            if own.spare.tally.bytes() >= BATCH_BYTES {
                // To be called again, when others have had their turn.
                done = budget;
            }
            match connection.visit_atomically(atomically, &mut own.spare) {
                After::Idle | After::Gone => {}
                // One with much to do must not keep the CPU.
                After::Again | After::Elsewhere => self.thread.enqueue(connection),
            }
        }
        self.thread.counters.settle(&mut own.spare.tally);
        done
    }
}

/// The loops of a server.
pub(crate) struct Loops {
    pollers: Pollers<Poller>,
    threads: Pin<KBox<Mutex<KVec<JoinHandle<()>>>>>,
}

impl Loops {
    /// Starts a loop for each CPU that is online. May sleep.
    pub(super) fn start(server: &CStr, counters: &Arc<Counters>, atomic: bool) -> Result<Self> {
        let cpus = || (0..cpu::nr_cpu_ids()).filter(|&cpu| kthread::is_online(cpu));
        let mut pollers = KVec::with_capacity(cpus().count(), GFP_KERNEL)?;
        for _ in cpus() {
            // INVARIANT: Nobody calls `poll` yet.
            let poller = Poller {
                thread: Loop::new(counters.clone())?,
                due: RunQueue::new(),
                own: UnsafeCell::new(Own::default()),
            };
            pollers.push(poller, GFP_KERNEL)?;
        }
        if pollers.is_empty() {
            return Err(ENODEV);
        }
        // Dropping it stops what has been started.
        let this = Self {
            pollers: Pollers::new(pollers)?,
            threads: KBox::pin_init(new_mutex!(KVec::new()), GFP_KERNEL)?,
        };
        for (cpu, poller) in cpus().zip(this.pollers.items()) {
            let name = CString::try_from_fmt(fmt!("{server}/loop{cpu}"))?;
            let one = poller.thread.clone();
            let mut threads = this.threads.lock();
            threads.reserve(1, GFP_KERNEL)?;
            let thread = kthread::spawn_on(ServerId::of(&**counters), cpu, &name, move || {
                if atomic {
                    // The pollers are there for those who cannot wait.
                    kthread::be_patient();
                }
                one.run();
            })?;
            threads.push(thread, GFP_KERNEL)?;
        }
        Ok(this)
    }

    /// The loop for a number, and its index. There is one for each.
    #[inline]
    fn for_number(&self, number: u32) -> Option<(usize, &Poller)> {
        let pollers = self.pollers.items();
        // Without a check that could panic, in softirq context of all places.
        let index = number.checked_rem(pollers.len() as u32)? as usize;
        Some((index, pollers.get(index)?))
    }

    /// The loop of this CPU, and its index.
    #[inline]
    fn local(&self) -> Option<(usize, &Poller)> {
        self.for_number(CpuId::current().as_u32())
    }

    /// With softirqs off.
    pub(super) fn arrived(&self, connection: Arc<Connection>) {
        let Some((here, local)) = self.local() else {
            return;
        };
        if !local.thread.note_arrival(&connection) {
            let thread = match self.for_number(connection.number() as u32) {
                Some((there, chosen)) if there != here && !chosen.thread.has_arrivals() => {
                    &chosen.thread
                }
                // That CPU is at work for others.
                _ => &local.thread,
            };
            thread.enqueue(connection);
        } else if !connection.is_atomic() {
            local.thread.enqueue(connection);
        } else if local.due.push(connection) {
            self.pollers.schedule(here);
        }
    }

    /// Any context.
    pub(super) fn enqueue(&self, connection: Arc<Connection>) {
        if let Some((_, local)) = self.local() {
            local.thread.enqueue(connection);
        }
    }

    /// Lets the threads leave their CPUs, for the server is about to stop. What belongs to a CPU is
    /// of no use any more; and one that receives without a break, from clients that go on knocking,
    /// leaves a thread that is bound to it no time to close connections. May sleep.
    pub(super) fn unbind(&self) {
        for thread in self.threads.lock().iter() {
            thread.unbind();
        }
    }

    /// Ends the threads and waits for them. Sleeps.
    pub(super) fn stop(&self) {
        self.pollers.stop();
        for poller in self.pollers.items() {
            // SAFETY: No poller runs any more, and only one task stops a server.
            unsafe { *poller.own.get() = Own::default() };
            poller.thread.stop.open();
            // Opening is no full barrier: a thread that parks for the first time just now may miss both.
            // Ending it, below, wakes it once more.
            poller.thread.parker.unpark();
        }
        let threads = core::mem::take(&mut *self.threads.lock());
        drop(threads);
    }
}

impl Drop for Loops {
    fn drop(&mut self) {
        self.stop();
    }
}
