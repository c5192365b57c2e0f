// SPDX-License-Identifier: GPL-2.0

//! A server that runs, whatever its handler and its executor are.

use crate::{
    connection::{
        driver::{
            can_poll_bh,
            Conversation,
            Drive, //
        },
        timers::Clock,
        trace,
        Connection,
        InterruptLock, //
    },
    executor::Engine,
    handler::{
        CloseReason,
        Handler, //
    },
    module::kthread::{
        self,
        JoinHandle, //
    },
    net::TcpStream,
    server::{
        config::Config,
        debugfs::{
            self,
            Files, //
        },
        limits::{
            Refusal,
            Shares, //
        },
        listening::Listening, //
    },
    stats::{
        Counter,
        Counters,
        Statistics, //
    },
    sync::{
        deadlock::ServerId,
        latch::Latch,
        lock_class::{
            new_mutex,
            new_spinlock,
            new_work, //
        }, //
    },
    util::{
        backoff::Backoff,
        error::ECONNABORTED,
        slab::Slab, //
    }, //
};
use core::{
    mem,
    net::SocketAddr, //
};
use kernel::{
    debugfs::Dir,
    impl_has_work,
    prelude::*,
    str::CString,
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

/// A handler, without its type.
pub(crate) trait Service: Send + Sync {
    /// A conversation of it with a newcomer. May sleep.
    fn converse(&self) -> Result<KBox<dyn Drive>>;
}

impl<H: Handler> Service for Arc<H> {
    fn converse(&self) -> Result<KBox<dyn Drive>> {
        Ok(KBox::new(Conversation::new(self.clone()), GFP_KERNEL)?)
    }
}

/// A function that is part of the module which starts a server with a handler `H`.
pub(crate) fn code_of<H: Handler>() -> *const () {
    <Arc<H> as Service>::converse as *const ()
}

/// A handler without its type, and whether [polls that must not sleep](can_poll_bh) are of any use
/// to it. May sleep.
pub(crate) fn service<H: Handler>(handler: H) -> Result<(KBox<dyn Service>, bool)> {
    let handler = Arc::new(handler, GFP_KERNEL)?;
    Ok((KBox::new(handler, GFP_KERNEL)?, can_poll_bh::<H>()))
}

/// A connection as the server knows it.
struct Entry {
    connection: Arc<Connection>,
    /// If the executor gives each connection one.
    thread: Option<JoinHandle<()>>,
}

struct Table {
    entries: Slab<Entry>,
    shares: Shares,
    /// The thread that left the table last. Each that leaves joins the one before it: a thread
    /// cannot join itself, and no other task would do it soon.
    finished: Option<JoinHandle<()>>,
    most_open: usize,
    /// Nothing is added any more, and the connection that leaves the table empty opens `drained`.
    draining: bool,
}

/// State that all tasks of a server share.
///
/// Dropping the last reference sleeps; see [`DeferredArc`](crate::module::cleanup::DeferredArc).
#[pin_data]
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) counters: Arc<Counters>,
    pub(crate) clock: Clock,
    pub(crate) engine: Engine,
    addr: SocketAddr,
    /// Opened when the server begins to stop.
    #[pin]
    pub(crate) stopping: Latch,
    /// The time of that.
    stop_began: SetOnce<Instant<Monotonic>>,
    /// Opened when the last connection has left the table of a server that stops.
    #[pin]
    drained: Latch,
    #[pin]
    table: Mutex<Table>,
    /// Held while a handler is interrupted.
    #[pin]
    pub(crate) interrupts: InterruptLock,
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

impl Shared {
    /// Creates the state that the tasks of a server with these settings share. May sleep.
    ///
    /// Not inlined: what runs as its work item is to be code of the library.
    #[inline(never)]
    fn new(config: Config, addr: SocketAddr, atomic: bool) -> Result<Arc<Self>> {
        let counters = Arc::new(Counters::new()?, GFP_KERNEL)?;
        let shares = Shares::new(&config.limits);
        Arc::pin_init(
            try_pin_init!(Self {
                engine: Engine::new(&config, &counters, atomic)?,
                counters,
                clock: Clock::new(&config.timeouts),
                config,
                addr,
                stopping <- Latch::new(),
                stop_began: SetOnce::new(),
                drained <- Latch::new(),
                table <- new_mutex!(Table {
                    entries: Slab::new(),
                    shares,
                    finished: None,
                    most_open: 0,
                    draining: false,
                }),
                interrupts <- new_spinlock!(()),
                work <- new_work!("ktcp_server::Shared"),
            }),
            GFP_KERNEL,
        )
    }

    /// Takes a connection that is closed out of the table.
    pub(crate) fn leave(&self, number: usize) {
        let mut table = self.table.lock();
        let Some(Entry { connection, thread }) = table.entries.remove(number) else {
            return;
        };
        table.shares.give_back(connection.peer().ip());
        let previous = match thread {
            Some(thread) => table.finished.replace(thread),
            None => None,
        };
        let drained = table.draining && table.entries.is_empty();
        drop(table);

        drop(previous);
        drop(connection);
        if drained {
            self.drained.open();
        }
    }

    /// Calls `f` for each connection until it fails. May sleep.
    pub(crate) fn for_each<E>(
        &self,
        mut f: impl FnMut(&Connection) -> Result<(), E>,
    ) -> Result<(), E> {
        let table = self.table.lock();
        let mut connections = table.entries.iter().map(|entry| &entry.connection);
        connections.try_for_each(|connection| f(connection))
    }

    /// Returns true if the current task polls a connection where it may sleep. May sleep.
    pub(crate) fn is_polled_by_current(&self) -> bool {
        let task = Task::current_raw().addr();
        let table = self.table.lock();
        let mut connections = table.entries.iter().map(|entry| &entry.connection);
        connections.any(|connection| connection.is_polled_by(task))
    }

    /// Returns for how long the server has been stopping.
    fn draining_for(&self) -> Delta {
        let began = self.stop_began.as_ref();
        began.map_or(Delta::ZERO, |began| began.elapsed())
    }

    /// Returns the identity of the server.
    pub(crate) fn id(&self) -> ServerId {
        ServerId::of(&*self.counters)
    }

    /// The address that it listens on.
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn statistics(&self) -> Statistics {
        let table = self.table.lock();
        let (open, most_open) = (table.entries.len(), table.most_open);
        drop(table);
        Statistics {
            open: open as u64,
            most_open: most_open as u64,
            ..self.counters.sum()
        }
    }

    /// Accepts connections until the server stops: the body of the accepting thread.
    fn accept(self: &Arc<Self>, listening: &Listening, service: &dyn Service) {
        let mut backoff = Backoff::new();
        let mut listener = listening.current();

        while !self.stopping.is_open() {
            let admitted = match listener.accept() {
                Ok((stream, peer)) => self.admit(service, stream, peer),
                // That connection is gone; there is nothing wrong with the next.
                Err(ECONNABORTED) => Ok(()),
                Err(_) if self.stopping.is_open() => return,
                Err(error) => {
                    self.counters.add(Counter::AcceptErrors, 1);
                    // It listens no more, and nothing that the server has done is the reason.
                    if error == EINVAL {
                        let (name, stop) = (self.config.name, &self.stopping);
                        match listening.again(&name, error, &mut backoff, stop, &self.counters) {
                            Some(again) => listener = again,
                            None => return,
                        }
                        continue;
                    }
                    Err(error)
                }
            };
            match admitted {
                Ok(()) => backoff.reset(),
                Err(_) => {
                    self.stopping.wait_timeout(backoff.next_pause());
                }
            }
        }
    }

    /// Takes in a newcomer, or closes it. An error says that others would fare no better.
    fn admit(
        self: &Arc<Self>,
        service: &dyn Service,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Result {
        let Err(refusal) = self.add(service, stream, peer) else {
            self.counters.add(Counter::Accepted, 1);
            return Ok(());
        };
        trace::refuse(&self.config.name, peer, &refusal);
        let (counter, result) = match refusal {
            Refusal::Full => (Counter::RefusedByLimit, Ok(())),
            Refusal::PeerFull => (Counter::RefusedByPeerLimit, Ok(())),
            Refusal::InUse => (Counter::RefusedInUse, Ok(())),
            Refusal::Failed(error) => (Counter::OutOfMemory, Err(error)),
        };
        self.counters.add(counter, 1);
        result
    }

    fn add(
        self: &Arc<Self>,
        service: &dyn Service,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Result<(), Refusal> {
        let driver = service.converse()?;
        // Held until the entry is complete, so that a connection that ends at once finds its own.
        let mut table = self.table.lock();
        let open = table.entries.len();
        let limits = &self.config.limits;
        table
            .shares
            .take(peer.ip(), open, limits)
            .inspect_err(|_| stream.reset_on_drop())?;
        let added = table.entries.add(|number| {
            let connection = Connection::new(self, number, stream, peer, driver)?;
            let thread = self
                .engine
                .thread_for(&self.config.name, self.id(), &connection)
                .inspect_err(|_| connection.abandon())?;
            trace::accept(&connection);
            connection.begin();
            Ok(Entry { connection, thread })
        });
        match added {
            Ok(()) => table.most_open = table.most_open.max(open + 1),
            Err(_) => table.shares.give_back(peer.ip()),
        }
        added
    }

    /// Advances the clock until the server stops: the body of the timer thread.
    fn keep_time(&self) {
        while !self.stopping.wait_timeout(self.clock.tick()) {
            self.clock.advance();
            for entry in self.table.lock().entries.iter() {
                entry.connection.check_timers();
            }
        }
    }

    fn drain(&self, within: Delta) {
        let mut table = self.table.lock();
        table.draining = true;
        if table.entries.is_empty() {
            self.drained.open();
        }
        drop(table);

        if self.drained.wait_timeout(within) {
            return;
        }
        for entry in self.table.lock().entries.iter() {
            entry.connection.request_close(CloseReason::Stopped);
        }
        self.interrupt_handlers();
    }

    /// Returns when no connection is left, of which each was told to end. Handlers that are still at work
    /// are interrupted: a peer of theirs, or whatever else they wait for, is not to decide how long this
    /// takes. Sleeps.
    fn interrupt_handlers(&self) {
        let mut backoff = Backoff::new();
        let mut complained = Instant::<Monotonic>::now();
        loop {
            // Again and again: what was interrupted is one poll, and the next one may wait anew.
            for entry in self.table.lock().entries.iter() {
                entry.connection.interrupt();
            }
            if self.drained.wait_timeout(backoff.next_pause()) {
                return;
            }
            if complained.elapsed() >= Delta::from_secs(10) {
                complained = Instant::now();
                let name: &CStr = &self.config.name;
                pr_warn!("{name}: waiting for a handler that does not return\n");
            }
        }
    }
}

/// A server that runs. Dropping it stops it.
pub(crate) struct Server {
    shared: Arc<Shared>,
    /// Not among what is shared: a [`Sender`](crate::Sender) may keep that for longer.
    listening: Arc<Listening>,
    files: Option<Files>,
    acceptor: Option<JoinHandle<()>>,
    timekeeper: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server whose files are in the folder `label` below `root`. `atomic` is whether polls that
    /// must not sleep are of any use to the handler. May sleep.
    ///
    /// Not generic, and not inlined: what the threads of the server run is to be code of the library.
    #[inline(never)]
    pub(crate) fn start(
        (root, label): (&Dir, &CStr),
        config: Config,
        listening: Arc<Listening>,
        (service, atomic): (KBox<dyn Service>, bool),
    ) -> Result<Self> {
        let addr = listening.addr();
        let name = config.name;
        let name: &CStr = &name;
        let has_timeouts = config.timeouts.are_any();
        let shared = Shared::new(config, addr, atomic)?;
        let id = shared.id();
        // From here on, dropping stops what has been started.
        let mut server = Self {
            shared: shared.clone(),
            listening: listening.clone(),
            files: None,
            acceptor: None,
            timekeeper: None,
        };
        if has_timeouts {
            let shared = shared.clone();
            let name = CString::try_from_fmt(fmt!("{name}/timer"))?;
            server.timekeeper = Some(kthread::spawn_own(id, &name, move || shared.keep_time())?);
        }
        let name = CString::try_from_fmt(fmt!("{name}/accept"))?;
        server.files = Some(debugfs::publish(root, label, shared.clone())?);
        server.acceptor = Some(kthread::spawn_own(id, &name, move || {
            shared.accept(&listening, &*service);
        })?);
        Ok(server)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Stops listening and receiving, without waiting for any task. May sleep.
    pub(crate) fn begin_stop(&self) {
        // The first counts: servers that are asked to stop together drain at the same time.
        self.shared.stop_began.populate(Instant::now());
        self.shared.stopping.open();
        self.shared.engine.begin_stop();
        for entry in self.shared.table.lock().entries.iter() {
            // It finds that the server stops.
            entry.connection.as_arc_borrow().schedule();
        }
        self.listening.close();
    }

    /// Stops: sends what is to be sent, for `within` at most or as long as the configuration says,
    /// then resets what is left. When this returns, no task runs code of the handler any more, nor
    /// will. Sleeps; must not be called by a task that runs the handler.
    pub(crate) fn stop(&mut self, within: Option<Delta>) {
        self.begin_stop();
        let within = within.unwrap_or(self.shared.config.drain);
        let left = || within - self.shared.draining_for();
        if let Some(acceptor) = self.acceptor.take() {
            // It has the one reference to the handler beside those of the connections, and so may drop it,
            // which takes as long as the handler likes.
            acceptor.join_by(left());
        }
        if let Some(timekeeper) = self.timekeeper.take() {
            timekeeper.join_by(left());
        }
        self.shared.drain(left());
        // A `Sender` may keep what is shared for longer: it is to hold no more than it must.
        let mut table = self.shared.table.lock();
        let last = table.finished.take();
        let entries = mem::replace(&mut table.entries, Slab::new());
        drop(table);
        drop((last, entries));
        self.shared.engine.stop();
        self.files = None;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(None);
    }
}
