// SPDX-License-Identifier: GPL-2.0

//! A thread for each CPU, which visits all connections that are due, then sleeps.
//!
//! A connection that becomes due while nothing else is going on is visited on the CPU on which its
//! bytes arrived: nobody else has to be woken. When that CPU's loop has more than one connection
//! before it, the next ones go to CPUs whose loops have nothing to do.

use crate::{
    connection::Connection,
    conversation::Spare,
    kthread::{
        self,
        JoinHandle, //
    },
    latch::Latch,
    parker::Parker,
    ready::ReadyQueue, //
};
use kernel::{
    cpu::{
        self,
        CpuId, //
    },
    new_mutex,
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

/// How many other loops are looked at for one that has nothing to do.
const NEIGHBOURS: usize = 4;

/// One loop, in cache lines of its own.
#[pin_data]
#[repr(align(64))]
struct Loop {
    ready: ReadyQueue,
    /// Set while the thread is awake.
    awake: Atomic<bool>,
    parker: Parker,
    #[pin]
    stop: Latch,
}

impl Loop {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                ready: ReadyQueue::new(),
                awake: Atomic::new(false),
                parker: Parker::new(),
                stop <- Latch::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Has nothing to do, and nothing waits for it.
    fn is_free(&self) -> bool {
        self.ready.is_empty() && !self.awake.load(Relaxed)
    }

    fn run(&self) {
        let mut spare = Spare::default();
        while !self.stop.is_open() {
            self.awake.store(true, Relaxed);
            for connection in self.ready.take_all() {
                connection.visit(&mut spare);
            }
            self.awake.store(false, Relaxed);
            self.parker
                .park_until(|| !self.ready.is_empty() || self.stop.is_open());
        }
    }
}

/// The loops of a server.
pub(crate) struct Loops {
    loops: KVec<Arc<Loop>>,
    threads: Pin<KBox<Mutex<KVec<JoinHandle<()>>>>>,
}

impl Loops {
    /// Starts a loop for each CPU that is online. May sleep.
    pub(super) fn start(server: &CStr) -> Result<Self> {
        let cpus = cpu::nr_cpu_ids();
        // Dropping it stops the threads that have been started.
        let mut this = Self {
            loops: KVec::with_capacity(cpus as usize, GFP_KERNEL)?,
            threads: KBox::pin_init(new_mutex!(KVec::new()), GFP_KERNEL)?,
        };
        for cpu in (0..cpus).filter(|&cpu| kthread::is_online(cpu)) {
            let name = CString::try_from_fmt(fmt!("{server}/loop{cpu}"))?;
            let one = Loop::new()?;
            this.loops.push(one.clone(), GFP_KERNEL)?;
            let mut threads = this.threads.lock();
            threads.reserve(1, GFP_KERNEL)?;
            let thread = kthread::spawn_on(cpu, &name, move || one.run())?;
            threads.push(thread, GFP_KERNEL)?;
        }
        Ok(this)
    }

    /// The loop that is to visit a connection that has just become due.
    fn choose(&self) -> Option<&Loop> {
        let count = self.loops.len();
        let here = CpuId::current().as_u32() as usize % count;
        let local = self.loops.get(here)?;
        if local.is_free() {
            return Some(local);
        }
        let others = (here + 1..here + count).take(NEIGHBOURS);
        let free = others
            .filter_map(|index| self.loops.get(index % count))
            .find(|other| other.ready.is_empty());
        Some(free.map_or(&**local, |other| &**other))
    }

    /// Any context.
    pub(super) fn enqueue(&self, connection: Arc<Connection>) {
        if let Some(one) = self.choose() {
            if one.ready.push(connection) {
                one.parker.unpark();
            }
        }
    }

    /// Ends the threads and waits for them. Sleeps.
    pub(super) fn stop(&self) {
        for one in &self.loops {
            one.stop.open();
            one.parker.unpark();
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
