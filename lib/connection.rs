// SPDX-License-Identifier: GPL-2.0

//! A connection of a server, and when it is polled.
//!
//! A connection is idle, or queued for its executor, or being polled by one task. An event of its stream
//! queues it, once; an event during a poll queues it again after the poll.

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

/// The server of a connection, as that knows it. There is one: a parameter, for each poll would cost
/// indirect calls otherwise.
pub(crate) trait Server: Deferred {
    /// Returns what the server and its connections share. Any context.
    fn env(&self) -> &Environment;

    /// Returns the executor that polls its connections. Any context.
    fn scheduler(&self) -> &Scheduler<Connection<Self>>;

    /// Takes a connection that is closed out of its table. May sleep.
    fn remove(&self, number: usize);
}

/// The part of a connection that belongs to the task which polls it.
struct Inner {
    stream: TcpStream,
    driver: KBox<dyn ConnDriver>,
}

/// A connection of a server.
///
/// # Invariants
///
/// - `inner` belongs to the task to which `state` gives the right to run: before `begin`, to the one
///   that made the connection.
/// - `inner` is `None` once `state` is closed. Before that, `watch` watches the stream.
/// - The executor holds the connection once from where `state` obliges a caller to schedule it until
///   the poll starts, otherwise not.
/// - It lives in an `Arc`.
#[pin_data]
pub(crate) struct Connection<S: Server> {
    server: DeferredArc<S>,
    /// True if polls that must not sleep are of any use.
    can_poll_bh: bool,
    #[pin]
    endpoint: Endpoint,
    state: State,
    /// The task that polls it where it may sleep.
    sleeper: Sleeper,
    inner: UnsafeCell<Option<Inner>>,
    #[pin]
    watch: Watch,
    /// For the executors, each of which uses one of these.
    parker: Parker,
    /// For the [`RunQueue`](crate::sync::run_queue::RunQueue) in which it is.
    link: Link<Connection<S>>,
    #[pin]
    work: Work<Connection<S>>,
}

// SAFETY: By the type invariants `inner` has one user at a time, and what it holds may go from task to
// task; the rest is `Send` by itself.
unsafe impl<S: Server> Send for Connection<S> {}

// SAFETY: As above: the atomics and locks are `Sync`, and `inner` goes from task to task by way of
// `state`.
unsafe impl<S: Server> Sync for Connection<S> {}

// SAFETY: The field is this connection's own. By the type invariants the executor holds the connection
// once at most, and puts it into a queue only when `state` obliges it to: it is in none then.
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
        // C calls this under the lock of the socket, which each poll takes.
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
    /// A connection that does nothing until [`begin`](Self::begin) or [`abandon`](Self::abandon), one
    /// of which has to follow. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY` when the stream is watched already; `ENOMEM`. The peer sees a reset.
    pub(crate) fn new(
        server: &Arc<S>,
        number: usize,
        stream: TcpStream,
        peer: SocketAddr,
        driver: KBox<dyn ConnDriver>,
    ) -> Result<Arc<Self>> {
        // INVARIANT: The right to run is ours, and `inner` with it, until `begin` or `abandon`.
        let connection = Arc::pin_init(
            pin_init!(&this in Self {
                server: DeferredArc::new(server),
                can_poll_bh: driver.can_poll_bh(),
                endpoint <- Endpoint::new(server.env(), number, peer),
                state: State::new(),
                sleeper: Sleeper::new(),
                inner: UnsafeCell::new(Some(Inner { stream, driver })),
                // SAFETY: The stream is watched only as long as the connection is there. It lives
                // in the `Arc` that this call makes.
                watch <- unsafe { Watch::new(this.as_ptr().cast_const()) },
                parker: Parker::new(),
                link: Link::new(),
                work <- new_work!("ktcp_server::Connection"),
            }),
            GFP_KERNEL,
        )?;
        // SAFETY: Before `begin`, `inner` is ours.
        if let Some(Inner { stream, .. }) = unsafe { &*connection.inner.get() } {
            // SAFETY: It is unwatched in `detach`, which comes before the end of the connection: by way
            // of `abandon`, or of the poll that `begin` makes due.
            unsafe { stream.watch(&connection.watch) }.inspect_err(|_| stream.reset_on_drop())?;
        }
        Ok(connection)
    }

    /// Closes a connection that is not to begin. May sleep.
    pub(crate) fn abandon(&self) {
        // SAFETY: `begin` was not called, so that `inner` is ours.
        unsafe { self.detach(false) };
    }

    /// Queues the connection for its first poll.
    ///
    /// To be called once, after `new`.
    pub(crate) fn begin(self: &Arc<Self>) {
        // What has happened since `new` is found by that poll.
        // SAFETY: The right to run is ours since `new`, for this is called once.
        // INVARIANT: The executor is given the connection.
        unsafe { self.state.requeue() };
        self.server.scheduler().schedule(self.as_arc_borrow());
    }

    /// Schedules a poll on the slow path, which sees what the caller has queued or requested before. Any
    /// context.
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
        // SAFETY: `start` has given us the right to run, so that `inner` is ours.
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
            // SAFETY: The right to run is ours since `start`.
            if unsafe { self.state.finish() } {
                return PollResult::Idle;
            }
        }
        // SAFETY: `finish` was not called, or has left us the right to run.
        unsafe { self.go_on(result, bh.is_none()) }
    }

    /// Ends a poll after which the connection is not idle; `slept` says that the poll was one
    /// that may sleep.
    ///
    /// # Safety
    ///
    /// The caller has the right to run, and has it no more after this.
    unsafe fn go_on(self: &Arc<Self>, result: Drive, slept: bool) -> PollResult {
        if let Drive::Done { reset } = result {
            // SAFETY: By this function's contract.
            unsafe { self.close(reset) };
            return PollResult::Closed;
        }
        if slept && !matches!(result, Drive::Wait) {
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
    /// The caller has the right to run, and has it no more after this.
    unsafe fn close(self: &Arc<Self>, reset: bool) {
        // SAFETY: By this function's contract `inner` is ours.
        unsafe { self.detach(reset) };
        // The driver has closed it, unless the connection was never polled.
        self.endpoint.inbox.close();
        // Until here code of the handler has run: with the last connection, the handler itself goes.
        self.sleeper.leave(&self.server.env().interrupts);
        // SAFETY: By this function's contract.
        // INVARIANT: `inner` is `None`.
        unsafe { self.state.close() };
        self.server.remove(self.endpoint.number);
    }

    /// Ends what is between the stream and the handler. May sleep.
    ///
    /// # Safety
    ///
    /// `inner` belongs to the caller.
    unsafe fn detach(&self, reset: bool) {
        // SAFETY: By this function's contract.
        let inner = unsafe { &mut *self.inner.get() }.take();
        if let Some(Inner { stream, driver }) = inner {
            // SAFETY: It was watched in `new`, and is unwatched only here: `inner` was there.
            unsafe { stream.unwatch(&self.watch) };
            if reset {
                stream.reset_on_drop();
            }
            // The session and the handler's part go before the peer learns of it.
            drop(driver);
            drop(stream);
        }
    }

    /// Requests that the connection ends for `reason`.
    pub(crate) fn request_close(self: &Arc<Self>, reason: CloseReason) {
        self.endpoint.inbox.request_close(reason);
        self.as_arc_borrow().schedule();
    }

    /// Returns true if that task is polling it where it may sleep.
    pub(crate) fn is_polled_by(&self, task: usize) -> bool {
        self.sleeper.is(task)
    }

    /// Has what the handler waits for fail, if it is at work and waits in a way that signals can
    /// interrupt. May sleep.
    pub(crate) fn interrupt(&self) {
        self.sleeper.interrupt(&self.server.env().interrupts);
    }

    /// Returns what trace events show of it.
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

    /// Ends the connection if a timeout has passed. `progress` is that of its stream. May sleep.
    pub(crate) fn check_timers(self: &Arc<Self>, progress: Option<&Progress>) {
        let env = self.server.env();
        if progress.is_some_and(Progress::has_advanced) {
            self.endpoint.timers.note_acked(env.clock.now());
        }
        // One whose handler is at work does not wait for its peer.
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
