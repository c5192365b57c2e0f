// SPDX-License-Identifier: GPL-2.0

//! A thread for each CPU, which visits all connections that are due, then sleeps.
//!
//! A connection that becomes due while no other does is visited on the CPU on which its bytes
//! arrived: no other CPU has to be woken, which takes longer than the visit. When connections become
//! due one after the other on a CPU, they are visited on other CPUs, so that the one goes on
//! receiving while the others answer, in batches.

use crate::{
    connection::Connection,
    conversation::Spare,
    kthread::{
        self,
        JoinHandle, //
    },
    latch::Latch,
    lock_class::new_mutex,
    parker::Parker,
    ready::ReadyQueue, //
};
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

/// One loop, in cache lines of its own.
#[pin_data]
#[repr(align(64))]
struct Loop {
    ready: ReadyQueue,
    parker: Parker,
    /// The connection that has become due last on the CPU of this loop. Only compared.
    last: Atomic<*const Connection>,
    /// When that was, in jiffies.
    last_time: Atomic<usize>,
    #[pin]
    stop: Latch,
}

impl Loop {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                ready: ReadyQueue::new(),
                parker: Parker::new(),
                last: Atomic::new(core::ptr::null()),
                last_time: Atomic::new(0),
                stop <- Latch::new(),
            }),
            GFP_KERNEL,
        )
    }

    /// Whether no other connection than this has become due on the loop's CPU in the last moment.
    /// To be called on that CPU.
    fn is_alone(&self, connection: &Connection) -> bool {
        let now = kthread::jiffies();
        let same = self.last.xchg(connection, Relaxed) == connection;
        let then = self.last_time.load(Relaxed);
        if then != now {
            self.last_time.store(now, Relaxed);
        }
        same || now.wrapping_sub(then) > 1
    }

    fn run(&self) {
        let mut spare = Spare::default();
        while !self.stop.is_open() {
            for connection in self.ready.take_all() {
                connection.visit(&mut spare);
            }
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
    fn choose(&self, connection: &Connection) -> Option<&Loop> {
        let count = self.loops.len();
        let here = CpuId::current().as_u32() as usize % count;
        let local = self.loops.get(here)?;
        if local.is_alone(connection) {
            return Some(local);
        }
        // Another one than this, and always the same for a connection.
        let step = 1 + connection.number() % (count - 1).max(1);
        self.loops.get((here + step) % count).map(|other| &**other)
    }

    /// Any context.
    pub(super) fn enqueue(&self, connection: Arc<Connection>) {
        if let Some(one) = self.choose(&connection) {
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
