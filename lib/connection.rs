// SPDX-License-Identifier: GPL-2.0

//! A connection of a server, and when it is polled.
//!
//! A connection is either idle, or queued for its executor, or being polled by one task. Whatever
//! happens to its stream queues it, once; what happens during a poll queues it again after the
//! poll.

pub(crate) mod driver;
mod sleeper;
mod state;
pub(crate) mod timers;
pub(crate) mod trace;

pub(crate) use self::sleeper::InterruptLock;
use self::{
    sleeper::Sleeper,
    state::{
        Path,
        Phase,
        State, //
    }, //
};
use crate::{
    buffer::Buffer,
    connection::{
        driver::{
            Drive,
            PollCx,
            Scratch,
            Step, //
        },
        timers::{
            CloseRequest,
            Pending,
            Timers, //
        }, //
    },
    handler::{
        CloseReason,
        Mailbox, //
    },
    module::cleanup::DeferredArc,
    net::{
        TcpStream,
        Watch,
        Watcher, //
    },
    server::{
        config::Config,
        limits::Refusal,
        service::Shared, //
    },
    stats::{
        Counter,
        StatsBatch, //
    },
    sync::{
        lock_class::{
            new_mutex,
            new_work, //
        },
        parker::Parker,
        run_queue::{
            Link,
            Queued, //
        },
        softirq::BhToken, //
    },
    util::error::{
        ENOBUFS,
        ENOTCONN, //
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
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        ArcBorrow,
        Mutex, //
    },
    workqueue::{
        Work,
        WorkItem, //
    }, //
};

/// The part of a connection that belongs to the task which polls it.
struct Inner {
    stream: TcpStream,
    driver: KBox<dyn Drive>,
}

/// A connection of a server.
///
/// # Invariants
///
/// - `inner` belongs to the task to which `state` gives the right to run: before `begin`, to the one
///   that made the connection.
/// - `inner` is `None` once `state` is closed. Before that, `watch` watches the stream.
/// - The executor holds the connection once from where `state` obliges a caller to enqueue it until
///   the poll starts, otherwise not.
/// - It lives in an `Arc`.
#[pin_data]
pub(crate) struct Connection {
    server: DeferredArc<Shared>,
    /// True if polls that must not sleep are of any use.
    atomic: bool,
    /// Its place in the table of the server.
    number: usize,
    peer: SocketAddr,
    state: State,
    /// The task that polls it where it may sleep.
    sleeper: Sleeper,
    inner: UnsafeCell<Option<Inner>>,
    /// True if there are timeouts at all.
    timed: bool,
    /// The times at which they began to run.
    timers: Timers,
    close_request: CloseRequest,
    #[pin]
    watch: Watch,
    #[pin]
    pushed: Mutex<Pushed>,
    has_pushed: Atomic<bool>,
    /// For the executors, each of which uses one of these.
    pub(crate) parker: Parker,
    /// For the [`RunQueue`](crate::sync::run_queue::RunQueue) in which it is.
    link: Link<Connection>,
    #[pin]
    work: Work<Connection>,
}

// SAFETY: By the type invariants `inner` has one user at a time, and what it holds may go from task to
// task; the rest is `Send` by itself.
unsafe impl Send for Connection {}

// SAFETY: As above: the atomics and locks are `Sync`, and `inner` goes from task to task by way of
// `state`.
unsafe impl Sync for Connection {}

// SAFETY: The field is this connection's own. By the type invariants the executor holds the connection
// once at most, and puts it into a queue only when `state` obliges it to: it is in none then.
unsafe impl Queued for Connection {
    #[inline]
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl_has_work! {
    impl HasWork<Self> for Connection { self.work }
}

impl WorkItem for Connection {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.server.engine.run_as_work(&this);
    }
}

impl Watcher for Connection {
    fn ready(this: ArcBorrow<'_, Self>) {
        // C calls this under the lock of the socket, which each poll takes.
        if this.state.notify() {
            this.server.engine.arrived(this);
        }
    }
}

impl Mailbox for Connection {
    fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    fn push(self: ArcBorrow<'_, Self>, data: &[u8]) -> Result {
        let mut pushed = self.pushed.lock();
        if pushed.closed {
            return Err(ENOTCONN);
        }
        let buffer = match pushed.buffer.take() {
            Some(buffer) => buffer,
            None => Buffer::new(self.config().output)?,
        };
        let buffer = pushed.buffer.insert(buffer);
        if data.len() > buffer.room() {
            return Err(ENOBUFS);
        }
        buffer.append(data);
        self.has_pushed.store(!buffer.is_empty(), Relaxed);
        drop(pushed);
        self.schedule();
        Ok(())
    }
}

/// Result of a poll: what the executor has to do next.
pub(crate) enum PollResult {
    /// Nothing.
    Idle,
    /// The connection is to be queued again.
    Again,
    /// As `Again`, but for a poll that may sleep.
    NeedsProcessContext,
    /// The connection is closed.
    Closed,
}

/// Data that other tasks have pushed and the connection has not yet taken.
struct Pushed {
    buffer: Option<Buffer>,
    closed: bool,
}

impl Connection {
    /// A connection that does nothing until [`begin`](Self::begin) or [`abandon`](Self::abandon), one
    /// of which has to follow. May sleep.
    pub(crate) fn new(
        server: &Arc<Shared>,
        number: usize,
        stream: TcpStream,
        peer: SocketAddr,
        driver: KBox<dyn Drive>,
    ) -> Result<Arc<Self>, Refusal> {
        let now = server.clock.now();
        // INVARIANT: The right to run is ours, and `inner` with it, until `begin` or `abandon`.
        let connection = Arc::pin_init(
            pin_init!(&this in Self {
                server: DeferredArc::new(server),
                atomic: driver.can_poll_bh(),
                number,
                peer,
                state: State::new(),
                sleeper: Sleeper::new(),
                inner: UnsafeCell::new(Some(Inner { stream, driver })),
                timed: server.config.timeouts.are_any(),
                timers: Timers::new(now),
                close_request: CloseRequest::new(),
                // SAFETY: The stream is watched only as long as the connection is there. It lives
                // in the `Arc` that this call makes.
                watch <- unsafe { Watch::new(this.as_ptr().cast_const()) },
                pushed <- new_mutex!(Pushed { buffer: None, closed: false }),
                has_pushed: Atomic::new(false),
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
            if unsafe { stream.watch(&connection.watch) }.is_err() {
                stream.reset_on_drop();
                return Err(Refusal::InUse);
            }
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
        self.server.engine.enqueue(self.as_arc_borrow());
    }

    /// Schedules a poll on the slow path, which sees what the caller has queued or requested before. Any
    /// context.
    pub(crate) fn schedule(self: ArcBorrow<'_, Self>) {
        if self.state.request() {
            self.server.engine.enqueue(self);
        }
    }

    /// Returns true if a poll is due. Any context.
    pub(crate) fn is_queued(&self) -> bool {
        self.state.is_queued()
    }

    /// Returns true if [`poll_bh`](Self::poll_bh) is of any use. Any context.
    pub(crate) fn can_poll_bh(&self) -> bool {
        self.atomic
    }

    /// Polls the connection. Sleeps where its handler does.
    ///
    /// To be called by the executor, once for each time that the connection was queued. If it is to
    /// be queued again, it belongs to the executor, which has to do that.
    pub(crate) fn poll(self: &Arc<Self>, scratch: &mut Scratch) -> PollResult {
        let after = self.poll_with(scratch, None);
        self.settle(&mut scratch.stats);
        after
    }

    /// Adds to the figures of the server what polls have counted.
    pub(crate) fn settle(&self, batch: &mut StatsBatch) {
        self.server.counters.settle(batch);
    }

    /// Like [`poll`](Self::poll), without sleeping; the caller has to [`settle`](Self::settle),
    /// after one or many polls.
    #[inline]
    pub(crate) fn poll_bh(self: &Arc<Self>, bh: BhToken<'_>, scratch: &mut Scratch) -> PollResult {
        self.poll_with(scratch, Some(bh))
    }

    #[inline(always)]
    fn poll_with(self: &Arc<Self>, scratch: &mut Scratch, bh: Option<BhToken<'_>>) -> PollResult {
        // INVARIANT: The executor has taken the connection out of its queue.
        let Some(path) = self.state.start() else {
            return PollResult::Closed;
        };
        let called = path == Path::Slow;
        if bh.is_none() {
            self.sleeper.enter();
        }
        // SAFETY: `start` has given us the right to run, so that `inner` is ours.
        let step = match unsafe { &mut *self.inner.get() } {
            Some(Inner { stream, driver }) => {
                driver.drive(&mut PollCx::new(self, stream, scratch, bh, called))
            }
            None => Step::Done { reset: true },
        };
        if matches!(step, Step::Wait) {
            if bh.is_none() {
                self.sleeper.leave(&self.server.interrupts);
            }
            // SAFETY: The right to run is ours since `start`.
            if unsafe { self.state.finish() } {
                return PollResult::Idle;
            }
        }
        // SAFETY: `finish` was not called, or has left us the right to run.
        unsafe { self.go_on(step, bh.is_none()) }
    }

    /// Ends a poll after which the connection is not idle; `slept` says that the poll was one
    /// that may sleep.
    ///
    /// # Safety
    ///
    /// The caller has the right to run, and has it no more after this.
    unsafe fn go_on(self: &Arc<Self>, step: Step, slept: bool) -> PollResult {
        if let Step::Done { reset } = step {
            // SAFETY: By this function's contract.
            unsafe { self.close(reset) };
            return PollResult::Closed;
        }
        if slept && !matches!(step, Step::Wait) {
            self.sleeper.leave(&self.server.interrupts);
        }
        // SAFETY: By this function's contract.
        // INVARIANT: The caller makes the executor hold the connection.
        unsafe { self.state.requeue() };
        match step {
            Step::NeedsProcessContext => PollResult::NeedsProcessContext,
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
        let mut pushed = self.pushed.lock();
        pushed.closed = true;
        let unsent = pushed.buffer.take();
        drop(pushed);
        drop(unsent);

        // Until here code of the handler has run: with the last connection, the handler itself goes.
        self.sleeper.leave(&self.server.interrupts);
        // SAFETY: By this function's contract.
        // INVARIANT: `inner` is `None`.
        unsafe { self.state.close() };
        self.server.leave(self.number);
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

    #[inline]
    pub(crate) fn has_pushed(&self) -> bool {
        self.has_pushed.load(Relaxed)
    }

    /// Moves what was pushed to `output`, as far as there is room.
    pub(crate) fn take_pushed(&self, output: &mut Buffer) {
        let mut pushed = self.pushed.lock();
        if let Some(buffer) = &mut pushed.buffer {
            output.append_from(buffer);
            if !buffer.is_empty() {
                return;
            }
        }
        let empty = pushed.buffer.take();
        self.has_pushed.store(false, Relaxed);
        drop(pushed);
        drop(empty);
    }

    /// Requests that the connection ends for `reason`.
    pub(crate) fn request_close(self: &Arc<Self>, reason: CloseReason) {
        self.close_request.make(reason);
        self.as_arc_borrow().schedule();
    }

    /// Returns why the connection is to end, if that was requested.
    #[inline]
    pub(crate) fn close_request(&self) -> Option<CloseReason> {
        self.close_request.get()
    }

    /// Returns true if that task is polling it where it may sleep.
    pub(crate) fn is_polled_by(&self, task: usize) -> bool {
        self.sleeper.is(task)
    }

    /// Has what the handler waits for fail, if it is at work and waits in a way that signals can
    /// interrupt. May sleep.
    pub(crate) fn interrupt(&self) {
        self.sleeper.interrupt(&self.server.interrupts);
    }

    #[inline]
    pub(crate) fn is_stopping(&self) -> bool {
        self.server.stopping.is_opening()
    }

    /// Its place in the table of the server.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    #[inline]
    pub(crate) fn config(&self) -> &Config {
        &self.server.config
    }

    pub(crate) fn count(&self, counter: Counter, by: usize) {
        self.server.counters.add(counter, by as u64);
    }

    /// A line about the connection.
    pub(crate) fn describe(&self, f: &mut Formatter<'_>) -> core::fmt::Result {
        let state = match self.state.phase() {
            Phase::Idle => "idle",
            Phase::Queued => "queued",
            Phase::Closed => "closed",
            Phase::Running => "polled",
        };
        let idle = self.timers.idle_millis(&self.server.clock);
        writeln!(f, "{:<48} {state:<8} {idle:>10}", self.peer)
    }

    /// Returns true if there are timeouts, so that polls are to be [noted](Self::note).
    #[inline]
    pub(crate) fn is_timed(&self) -> bool {
        self.timed
    }

    /// Notes what has moved in a poll, and what is left in the buffers.
    #[inline]
    pub(crate) fn note(&self, pending: Pending) {
        self.timers.note(self.server.clock.now(), pending);
    }

    /// Ends the connection if a timeout has passed. May sleep.
    pub(crate) fn check_timers(self: &Arc<Self>) {
        // One whose handler is at work does not wait for its peer.
        if self.state.is_idle() {
            if let Some(reason) = self
                .timers
                .expired(&self.server.clock, &self.config().timeouts)
            {
                self.request_close(reason);
            }
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
    fn an_idle_one_is_small() {
        // With the count of an `Arc` in front. tests/e2e/test_memory.py sees what it really takes.
        assert!(size_of::<Connection>() <= 256 - 8);
    }
}
