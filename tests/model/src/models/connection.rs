// SPDX-License-Identifier: GPL-2.0

//! The state of a connection: no notification is lost, and one task polls at a time.

use super::{
    explore,
    join, //
};
use crate::{
    state::{
        Path,
        Phase,
        State, //
    }, //
    sync::parker::Parker,
};
use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};
use loom::{
    cell::UnsafeCell,
    sync::Mutex,
    thread, //
};
use std::sync::{
    atomic::{
        AtomicUsize,
        Ordering, //
    },
    Arc, //
};

/// The part of a connection that only a poll accesses.
#[derive(Default)]
struct Inner {
    received: usize,
    requests: usize,
    closed: bool,
    handled: usize,
}

/// The part of a connection that its state protects.
struct Connection {
    state: State,
    inner: UnsafeCell<Inner>,
    /// The bytes that the peer has sent, under the lock of the socket.
    sent: Mutex<usize>,
    /// The requests of other tasks, each in its own place.
    requested: [Atomic<bool>; 2],
    /// Set if a request closes the connection.
    closes: bool,
    /// Number of times that the executor holds the connection. Not part of the model: it imposes no
    /// ordering.
    held: AtomicUsize,
}

// SAFETY: loom checks the accesses to `inner`.
unsafe impl Sync for Connection {}

/// The outcome of a poll.
#[derive(PartialEq)]
enum After {
    Idle,
    Requeued,
    Closed,
}

impl Connection {
    /// Creates a connection that is idle, or for which a poll is due.
    fn new(due: bool, closes: bool) -> Arc<Self> {
        let this = Arc::new(Self {
            state: State::new(),
            inner: UnsafeCell::new(Inner::default()),
            sent: Mutex::new(0),
            requested: [Atomic::new(false), Atomic::new(false)],
            closes,
            held: AtomicUsize::new(0),
        });
        if due {
            // SAFETY: `new` grants the right to run.
            unsafe { this.state.requeue() };
            this.enqueue();
        } else {
            // SAFETY: As above.
            assert!(unsafe { this.state.finish() });
        }
        this
    }

    /// Records that the connection is given to the executor.
    fn enqueue(&self) {
        let held = self.held.fetch_add(1, Ordering::Relaxed);
        assert_eq!(held, 0, "the executor holds it twice");
    }

    /// Receives a byte from the peer. Returns true if the connection was enqueued.
    fn receive(&self) -> bool {
        let mut sent = self.sent.lock().unwrap();
        *sent += 1;
        let due = self.state.notify();
        if due {
            self.enqueue();
        }
        due
    }

    /// Makes a request of another task. Returns true if the connection was enqueued.
    fn request(&self, number: usize) -> bool {
        self.requested[number].store(true, Relaxed);
        let due = self.state.request();
        if due {
            self.enqueue();
        }
        due
    }

    /// Polls the connection once, as the executor does each time that it was enqueued.
    fn poll(&self) -> After {
        self.held.fetch_sub(1, Ordering::Relaxed);
        let path = self.state.start().expect("it is closed, or runs already");
        let done = self.inner.with_mut(|inner| {
            // SAFETY: We hold the right to run.
            let inner = unsafe { &mut *inner };
            assert!(!inner.closed, "it is polled after it was closed");
            if path == Path::Slow {
                inner.requests = self.requested.iter().filter(|it| it.load(Relaxed)).count();
                inner.closed = self.closes && inner.requests > 0;
            }
            inner.received = *self.sent.lock().unwrap();
            inner.closed
        });
        // The handler runs after the lock of the socket is released.
        self.inner.with_mut(|inner| {
            // SAFETY: We hold the right to run.
            unsafe { (*inner).handled += 1 }
        });
        if done {
            // SAFETY: We hold the right to run.
            unsafe { self.state.close() };
            return After::Closed;
        }
        // SAFETY: As above.
        if unsafe { self.state.finish() } {
            return After::Idle;
        }
        // SAFETY: As above, because `finish` has failed.
        unsafe { self.state.requeue() };
        self.enqueue();
        After::Requeued
    }

    /// Polls until no poll is due, as the softirq does that has received the bytes.
    fn run(&self, due: bool) {
        if due {
            while self.poll() == After::Requeued {}
        }
    }

    /// Calls `check` with the state that the last poll has left.
    fn check(&self, check: impl FnOnce(&Inner)) {
        assert_eq!(self.held.load(Ordering::Relaxed), 0);
        // SAFETY: No task runs the connection any more.
        self.inner.with(|inner| check(unsafe { &*inner }));
    }
}

#[test]
fn no_notification_is_lost() {
    explore(3, || {
        let connection = Connection::new(true, false);
        let threads = [(); 2].map(|()| {
            let connection = connection.clone();
            thread::spawn(move || connection.run(connection.receive()))
        });
        connection.run(true);
        join(threads);

        assert!(connection.state.is_idle());
        connection.check(|inner| assert_eq!(inner.received, 2));
    });
}

#[test]
fn no_request_is_lost() {
    explore(2, || {
        let connection = Connection::new(true, false);
        let threads = [0, 1].map(|number| {
            let connection = connection.clone();
            thread::spawn(move || connection.run(connection.request(number)))
        });
        connection.run(true);
        join(threads);

        assert!(connection.state.is_idle());
        connection.check(|inner| assert_eq!(inner.requests, 2));
    });
}

#[test]
fn requests_and_notifications_do_not_hide_each_other() {
    explore(3, || {
        let connection = Connection::new(false, false);
        let other = connection.clone();
        let peer = thread::spawn(move || {
            other.run(other.receive());
            other.run(other.receive());
        });
        connection.run(connection.request(0));
        connection.run(connection.request(1));
        peer.join().unwrap();

        assert!(connection.state.is_idle());
        connection.check(|inner| {
            assert_eq!(inner.requests, 2);
            assert_eq!(inner.received, 2);
        });
    });
}

#[test]
fn a_closed_one_stays_closed() {
    explore(3, || {
        let connection = Connection::new(false, true);
        let other = connection.clone();
        let peer = thread::spawn(move || {
            other.run(other.receive());
            other.run(other.receive());
        });
        connection.run(connection.request(0));
        connection.run(connection.request(1));
        peer.join().unwrap();

        assert!(connection.state.phase() == Phase::Closed);
        assert!(!connection.state.notify() && !connection.state.request());
        assert!(connection.state.start().is_none());
        connection.check(|inner| assert!(inner.closed));
    });
}

/// Polls as the executor with a thread for each connection does.
#[test]
fn a_thread_wakes_for_what_is_due() {
    explore(4, || {
        let connection = Connection::new(false, true);
        let parker = Arc::new(Parker::new());
        let (its, woken_by) = (connection.clone(), parker.clone());
        let executor = thread::spawn(move || loop {
            woken_by.park_until(|| its.state.is_queued());
            if its.poll() == After::Closed {
                return;
            }
        });
        if connection.receive() {
            parker.unpark();
        }
        if connection.request(0) {
            parker.unpark();
        }
        executor.join().unwrap();
        connection.check(|inner| assert!(inner.closed));
    });
}
