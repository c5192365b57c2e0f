// SPDX-License-Identifier: GPL-2.0

//! State that all tasks of a server share.

use super::{
    config::Config,
    limits::Limits,
    listening::ListenConfig,
    table::Table, //
};
use crate::{
    connection::{
        Connection,
        Environment,
        Server, //
    },
    executor::Scheduler,
    stats::{
        Counters,
        Statistics, //
    },
    sync::{
        deadlock::ServerId,
        latch::Latch,
        lock_class::{
            new_mutex,
            new_work, //
        }, //
    }, //
};
use core::net::SocketAddr;
use kernel::{
    impl_has_work,
    prelude::*,
    sync::{
        Arc,
        Mutex,
        SetOnce, //
    },
    task::Task,
    time::{
        Delta,
        Instant,
        Monotonic, //
    },
    workqueue::{
        Work,
        WorkItem, //
    }, //
};

/// State that all tasks of a server share.
///
/// Dropping the last reference sleeps; see [`DeferredArc`](crate::module::cleanup::DeferredArc).
#[pin_data]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) scheduler: Scheduler<Connection<Shared>>,
    pub(super) listen: ListenConfig,
    #[pin]
    pub(super) env: Environment,
    /// The time at which the server began to stop.
    stop_began: SetOnce<Instant<Monotonic>>,
    /// Opened when the last connection has left the table of a server that stops.
    #[pin]
    pub(super) drained: Latch,
    #[pin]
    pub(super) table: Mutex<Table<Shared>>,
    #[pin]
    work: Work<Shared>,
}

impl_has_work! {
    impl HasWork<Self> for Shared { self.work }
}

impl WorkItem for Shared {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        drop(this);
    }
}

impl Server for Shared {
    #[inline]
    fn env(&self) -> &Environment {
        &self.env
    }

    #[inline]
    fn scheduler(&self) -> &Scheduler<Connection<Self>> {
        &self.scheduler
    }

    fn remove(&self, number: usize) {
        let left = self.table.lock().remove(number);
        let is_last = left.as_ref().is_some_and(|left| left.is_last);
        drop(left);
        if is_last {
            self.drained.open();
        }
    }
}

impl Shared {
    /// Creates the state that the tasks of a server with these settings share. `can_poll_bh` says that
    /// polls which must not sleep are of any use to its handler. May sleep.
    ///
    /// Not inlined: what runs as its work item is to be code of the library.
    #[inline(never)]
    pub(super) fn new(
        config: Config,
        listen: ListenConfig,
        can_poll_bh: bool,
    ) -> Result<Arc<Self>> {
        let counters = Arc::new(Counters::new()?, GFP_KERNEL)?;
        let table = Table::new(&config.limits);
        Arc::pin_init(
            try_pin_init!(Self {
                scheduler: Scheduler::new(
                    config.executor,
                    config.name,
                    config.limits.connections,
                    &counters,
                    can_poll_bh,
                )?,
                env <- Environment::new(config.name, config.conn, counters),
                config,
                listen,
                stop_began: SetOnce::new(),
                drained <- Latch::new(),
                table <- new_mutex!(table),
                work <- new_work!("ktcp_server::Shared"),
            }),
            GFP_KERNEL,
        )
    }

    /// The server begins to stop. The first call counts: servers that are asked to stop together drain at
    /// the same time.
    pub(super) fn note_stop(&self) {
        self.stop_began.populate(Instant::now());
        self.env.stopping.open();
    }

    /// Returns for how long the server has been stopping.
    pub(super) fn draining_for(&self) -> Delta {
        let began = self.stop_began.as_ref();
        began.map_or(Delta::ZERO, |began| began.elapsed())
    }

    /// Calls `f` for each connection until it fails. May sleep.
    pub(super) fn for_each<E>(
        &self,
        f: impl FnMut(&Arc<Connection<Self>>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.table.lock().iter().try_for_each(f)
    }

    /// Returns true if the current task polls a connection where it may sleep. May sleep.
    pub(super) fn is_polled_by_current(&self) -> bool {
        let task = Task::current_raw().addr();
        self.table
            .lock()
            .iter()
            .any(|connection| connection.is_polled_by(task))
    }

    /// Returns the identity of the server.
    pub(super) fn id(&self) -> ServerId {
        ServerId::of(&*self.env.counters)
    }

    /// The address that it listens on.
    pub(super) fn local_addr(&self) -> SocketAddr {
        self.listen.addr
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.config.limits
    }

    pub(super) fn statistics(&self) -> Statistics {
        let table = self.table.lock().statistics();
        Statistics {
            open: table.open,
            most_open: table.most_open,
            closing: table.closing,
            ..self.env.counters.sum()
        }
    }
}

// Locks are larger where they are watched.
#[cfg(all(
    CONFIG_KTCP_KUNIT_TEST,
    not(CONFIG_DEBUG_SPINLOCK),
    not(CONFIG_DEBUG_MUTEXES)
))]
#[kunit_tests(ktcp_connection)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // With the count of an `Arc` in front. tests/e2e/test_memory.py sees what it really takes.
        assert!(size_of::<Connection<Shared>>() <= 256 - 8);
    }
}
