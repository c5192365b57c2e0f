// SPDX-License-Identifier: GPL-2.0

//! A connection of a server, and the scheduling of its polls.
//!
//! A connection is idle, queued for its executor, or being polled by one task. An event of its
//! stream queues an idle connection once; an event during a poll queues it again after the poll.

mod close_action;
mod driver;
mod endpoint;
mod environment;
mod inbox;
mod poll_cx;
mod sleeper;
mod state;
mod timers;
pub(crate) mod trace;

use self::{
    driver::Drive,
    poll_cx::{
        PollCx,
        Scratch, //
    },
    sleeper::Sleeper,
    state::{
        Path,
        Phase,
        State, //
    }, //
};
pub(crate) use self::{
    driver::{
        can_poll_bh,
        ConnDriver,
        HandlerDriver, //
    },
    endpoint::Endpoint,
    environment::{
        ConnConfig,
        Environment, //
    },
    timers::Timeouts, //
};
use crate::{
    executor::{
        PollResult,
        Pollable,
        Scheduler, //
    },
    handler::{
        CloseReason,
        Mailbox, //
    },
    module::cleanup::{
        Deferred,
        DeferredArc, //
    },
    net::{
        Progress,
        TcpStream,
        Watch,
        Watcher, //
    },
    sync::{
        lock_class::new_work,
        parker::Parker,
        run_queue::{
            Link,
            Queued, //
        },
        softirq::BhToken, //
    }, //
};
use core::{
    cell::UnsafeCell,
    fmt::Formatter,
    net::SocketAddr, //
};
use kernel::{
    impl_has_work,
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    workqueue::{
        Work,
        WorkItem, //
    }, //
};

/// The server, as a connection sees it.
///
/// Only one type implements this. Connections have it as a type parameter because a trait object
/// would cost each poll indirect calls.
pub(crate) trait Server: Deferred {
    /// Returns the state that the server and its connections share. Any context.
    fn env(&self) -> &Environment;

    /// Returns the executor that polls the server's connections. Any context.
    fn scheduler(&self) -> &Scheduler<Connection<Self>>;

    /// Removes a closed connection from the server's table. May sleep.
    fn remove(&self, number: usize);
}

/// The part of a connection that only the task polling it accesses.
struct Inner {
    stream: TcpStream,
    driver: KBox<dyn ConnDriver>,
}

/// A connection of a server.
///
/// # Invariants
///
/// - Only the task to which `state` gives the right to run accesses `inner`. Before `begin`, that
///   is the task that created the connection.
/// - `inner` is `None` once `state` is closed. Before that, `watch` watches the stream.
/// - The executor holds the connection exactly once from the point where `state` obliges a caller
///   to schedule it until the poll starts, and not at all otherwise.
/// - The connection lives in an `Arc`.
#[pin_data]
pub(crate) struct Connection<S: Server> {
    server: DeferredArc<S>,
    /// The driver's [`can_poll_bh`](ConnDriver::can_poll_bh).
    can_poll_bh: bool,
    #[pin]
    endpoint: Endpoint,
    state: State,
    /// The task that runs a poll that may sleep.
    sleeper: Sleeper,
    inner: UnsafeCell<Option<Inner>>,
    #[pin]
    watch: Watch,
    /// Each executor uses one of `parker`, `link` and `work`.
    parker: Parker,
    /// Link of the [`RunQueue`](crate::sync::run_queue::RunQueue) that holds the connection.
    link: Link<Connection<S>>,
    #[pin]
    work: Work<Connection<S>>,
}

// SAFETY: By the type invariants one task at a time accesses `inner`, whose contents are `Send`.
// The other fields are `Send` themselves.
unsafe impl<S: Server> Send for Connection<S> {}

// SAFETY: The atomics and locks are `Sync`. One task at a time accesses `inner`, and `state` orders
// the accesses of different tasks.
unsafe impl<S: Server> Sync for Connection<S> {}

// SAFETY: The link belongs to this connection alone. By the type invariants the executor holds the
// connection at most once, and enqueues it only when `state` obliges it to. At that point the
// connection is in no queue.
unsafe impl<S: Server> Queued for Connection<S> {
    #[inline]
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl_has_work! {
    impl{S: Server} HasWork<Self> for Connection<S> { self.work }
}

impl<S: Server> WorkItem for Connection<S> {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.server.scheduler().run_as_work(&this);
    }
}

impl<S: Server> Watcher for Connection<S> {
    fn ready(this: ArcBorrow<'_, Self>) {
        // C calls this under the lock of the socket, which each poll takes: `notify` relies on that
        // order.
        if this.state.notify() {
            this.server.scheduler().ready(this);
        }
    }
}

impl<S: Server> Mailbox for Connection<S> {
    fn peer_addr(&self) -> SocketAddr {
        self.endpoint.peer
    }

    fn push(self: ArcBorrow<'_, Self>, data: &[u8]) -> Result {
        let size = self.server.env().config.output;
        self.endpoint.inbox.push(data, size)?;
        self.schedule();
        Ok(())
    }
}

impl<S: Server> Pollable for Connection<S> {
    type Scratch = Scratch;

    fn number(&self) -> usize {
        self.endpoint.number
    }

    fn can_poll_bh(&self) -> bool {
        self.can_poll_bh
    }

    fn is_queued(&self) -> bool {
        self.state.is_queued()
    }

    fn parker(&self) -> &Parker {
        &self.parker
    }

    fn poll(self: &Arc<Self>, scratch: &mut Scratch) -> PollResult {
        let result = self.poll_with(scratch, None);
        self.server.env().counters.add_batch(&mut scratch.stats);
        result
    }

    #[inline]
    fn poll_bh(self: &Arc<Self>, bh: BhToken<'_>, scratch: &mut Scratch) -> PollResult {
        self.poll_with(scratch, Some(bh))
    }
}

impl<S: Server> Connection<S> {
    /// Creates a connection that is not polled yet. The caller must then call
    /// [`begin`](Self::begin) or [`abandon`](Self::abandon). May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the stream is already watched; `ENOMEM`. The peer sees a reset.
    pub(crate) fn new(
        server: &Arc<S>,
        number: usize,
        stream: TcpStream,
        peer: SocketAddr,
        driver: KBox<dyn ConnDriver>,
    ) -> Result<Arc<Self>> {
        // INVARIANT: The caller has the right to run, and alone accesses `inner`, until `begin` or
        // `abandon`.
        let connection = Arc::pin_init(
            pin_init!(&this in Self {
                server: DeferredArc::new(server),
                can_poll_bh: driver.can_poll_bh(),
                endpoint <- Endpoint::new(server.env(), number, peer),
                state: State::new(),
                sleeper: Sleeper::new(),
                inner: UnsafeCell::new(Some(Inner { stream, driver })),
                // SAFETY: The connection lives in the `Arc` that this call allocates, and the
                // stream is unwatched before the connection is freed.
                watch <- unsafe { Watch::new(this.as_ptr().cast_const()) },
                parker: Parker::new(),
                link: Link::new(),
                work <- new_work!("ktcp_server::Connection"),
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: Before `begin`, only this task accesses `inner`.
        if let Some(Inner { stream, .. }) = unsafe { &*connection.inner.get() } {
            // SAFETY: `detach` unwatches the stream before the connection is freed. `abandon` calls
            // `detach`, and so does the poll that closes a connection which has begun.
            unsafe { stream.watch(&connection.watch) }.inspect_err(|_| stream.reset_on_drop())?;
        }
        Ok(connection)
    }

    /// Closes a connection instead of beginning it. May sleep.
    pub(crate) fn abandon(&self) {
        // SAFETY: `begin` was not called, so only this task accesses `inner`.
        unsafe { self.detach(false) };
    }

    /// Queues the connection for its first poll.
    ///
    /// The caller calls this once, after `new`.
    pub(crate) fn begin(self: &Arc<Self>) {
        // That poll finds the events since `new`.
        // SAFETY: The caller has had the right to run since `new`, because this is called once.
        // INVARIANT: The next statement gives the connection to the executor.
        unsafe { self.state.requeue() };
        self.server.scheduler().schedule(self.as_arc_borrow());
    }

    /// Schedules a poll on the slow path, which sees the data or the request that the caller has
    /// queued before. Any context.
    pub(crate) fn schedule(self: ArcBorrow<'_, Self>) {
        if self.state.request() {
            self.server.scheduler().schedule(self);
        }
    }

    #[inline(always)]
    fn poll_with(self: &Arc<Self>, scratch: &mut Scratch, bh: Option<BhToken<'_>>) -> PollResult {
        // INVARIANT: The executor has taken the connection out of its queue.
        let Some(path) = self.state.start() else {
            return PollResult::Closed;
        };
        let slow_path = path == Path::Slow;
        let env = self.server.env();
        if bh.is_none() {
            self.sleeper.enter();
        }
        // SAFETY: `start` has given this task the right to run, so only this task accesses `inner`.
        let result = match unsafe { &mut *self.inner.get() } {
            Some(Inner { stream, driver }) => driver.drive(&mut PollCx::new(
                env,
                &self.endpoint,
                self.as_arc_borrow(),
                stream,
                scratch,
                bh,
                slow_path,
            )),
            None => Drive::Done { reset: true },
        };
        if matches!(result, Drive::Wait) {
            if bh.is_none() {
                self.sleeper.leave(&env.interrupts);
            }
            // SAFETY: This task has had the right to run since `start`.
            if unsafe { self.state.finish() } {
                return PollResult::Idle;
            }
        }
        // SAFETY: `finish` was not called, or has failed and left this task the right to run.
        unsafe { self.go_on(result, bh.is_none()) }
    }

    /// Ends a poll that does not leave the connection idle. `may_sleep` is true if the poll was one
    /// that may sleep.
    ///
    /// # Safety
    ///
    /// The caller has the right to run, and loses it in this call.
    unsafe fn go_on(self: &Arc<Self>, result: Drive, may_sleep: bool) -> PollResult {
        if let Drive::Done { reset } = result {
            // SAFETY: By this function's contract.
            unsafe { self.close(reset) };
            return PollResult::Closed;
        }
        if may_sleep && !matches!(result, Drive::Wait) {
            self.sleeper.leave(&self.server.env().interrupts);
        }
        // SAFETY: By this function's contract.
        // INVARIANT: The caller makes the executor hold the connection.
        unsafe { self.state.requeue() };
        match result {
            Drive::NeedsProcessContext => PollResult::NeedsProcessContext,
            _ => PollResult::Again,
        }
    }

    /// Closes the connection for ever, at the end of a poll that may sleep.
    ///
    /// # Safety
    ///
    /// The caller has the right to run, and loses it in this call.
    unsafe fn close(self: &Arc<Self>, reset: bool) {
        // SAFETY: By this function's contract only this task accesses `inner`.
        unsafe { self.detach(reset) };
        // The driver has closed the inbox, unless the connection was never polled.
        self.endpoint.inbox.close();
        // Only here, because `detach` may run code of the handler: with the driver of the last
        // connection, the handler itself is dropped.
        self.sleeper.leave(&self.server.env().interrupts);
        // SAFETY: By this function's contract.
        // INVARIANT: `inner` is `None`.
        unsafe { self.state.close() };
        self.server.remove(self.endpoint.number);
    }

    /// Unwatches the stream, then drops the driver and the stream: with a reset if `reset`. May
    /// sleep.
    ///
    /// # Safety
    ///
    /// Only the caller accesses `inner`.
    unsafe fn detach(&self, reset: bool) {
        // SAFETY: By this function's contract.
        let inner = unsafe { &mut *self.inner.get() }.take();
        if let Some(Inner { stream, driver }) = inner {
            // SAFETY: `new` watched the stream, and only this function unwatches it, when it takes
            // `inner`.
            unsafe { stream.unwatch(&self.watch) };
            if reset {
                stream.reset_on_drop();
            }
            // The session and the driver are dropped before the peer can observe the end.
            drop(driver);
            drop(stream);
        }
    }

    /// Requests that the connection ends for `reason`.
    pub(crate) fn request_close(self: &Arc<Self>, reason: CloseReason) {
        self.endpoint.inbox.request_close(reason);
        self.as_arc_borrow().schedule();
    }

    /// Returns true if `task` is polling the connection where it may sleep.
    pub(crate) fn is_polled_by(&self, task: usize) -> bool {
        self.sleeper.is(task)
    }

    /// Interrupts the handler if it is running: its waits that signals can interrupt fail. May
    /// sleep.
    pub(crate) fn interrupt(&self) {
        self.sleeper.interrupt(&self.server.env().interrupts);
    }

    /// Returns the endpoint, which trace events describe.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Writes a line about the connection.
    pub(crate) fn describe(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        let state = match self.state.phase() {
            Phase::Idle if self.endpoint.is_closing() => "closing",
            Phase::Idle => "idle",
            Phase::Queued => "queued",
            Phase::Closed => "closed",
            Phase::Running => "polled",
        };
        let idle = self.endpoint.timers.idle_millis(&self.server.env().clock);
        writeln!(f, "{:<48} {state:<8} {idle:>10}", self.endpoint.peer)
    }

    /// Requests the end of the connection if a timeout has passed. `progress` is that of its
    /// stream. May sleep.
    pub(crate) fn check_timers(self: &Arc<Self>, progress: Option<&Progress>) {
        let env = self.server.env();
        if progress.is_some_and(Progress::has_advanced) {
            self.endpoint.timers.note_acked(env.clock.now());
        }
        // A connection whose handler is running does not wait for its peer.
        if self.state.is_idle() {
            if let Some(reason) = self
                .endpoint
                .timers
                .expired(&env.clock, &env.config.timeouts)
            {
                self.request_close(reason);
            }
        }
    }
}
