// SPDX-License-Identifier: GPL-2.0

//! Runs a load: starts the threads, keeps time for them, and adds up what they saw.

use crate::{
    pattern::Pattern,
    plan::{Limit, Plan, Protocol},
    tally::Tally,
    watch::{self, Busy, Used},
    worker::{Shared, Worker, TICK},
};
use anyhow::{Context, Result};
use mio::{Poll, Waker};
use std::{
    net::SocketAddr,
    sync::{
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
        Barrier,
    },
    thread,
    time::{Duration, Instant},
};

/// How often the threads look for connections whose time has run out.
const TICK_TIME: Duration = Duration::from_millis(100);

/// What came of a load.
pub struct Outcome {
    pub tally: Tally,
    /// How long it took to make all connections.
    pub connecting: Duration,
    /// The time over which answers were counted.
    pub counted: Duration,
    pub busy: Option<Busy>,
    /// The address of the server that answered last.
    pub server: SocketAddr,
    /// The user ended it early.
    pub interrupted: bool,
}

/// How far a load is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    pub connected: u64,
    pub answered: u64,
    pub failed: u64,
    /// Since counting began; before, none.
    pub counting: Option<Duration>,
}

/// Lets this process have as many descriptors as it may.
pub fn raise_descriptor_limit(needed: u64) -> Result<()> {
    use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let most = limit.maximum.map_or(needed, |maximum| maximum.max(needed));
    let wanted = Rlimit {
        current: Some(needed),
        maximum: Some(most),
    };
    setrlimit(Resource::Nofile, wanted).with_context(|| {
        format!(
            "this process may open {:?} files and needs {needed} (ulimit -n)",
            limit.maximum
        )
    })
}

struct Timekeeper<'a> {
    shared: &'a Shared,
    wakers: Vec<Waker>,
    watch: Option<&'a str>,
    show: &'a mut dyn FnMut(Progress),
}

impl Timekeeper<'_> {
    fn progress(&self, counting: Option<Duration>) -> Progress {
        Progress {
            connected: self.shared.connected.load(Relaxed),
            answered: self.shared.answered.load(Relaxed),
            failed: self.shared.failed.load(Relaxed),
            counting,
        }
    }

    fn tick(&mut self, counting: Option<Duration>) {
        for waker in &self.wakers {
            // Nothing but a full counter can go wrong, and then the thread is awake.
            let _ = waker.wake();
        }
        let progress = self.progress(counting);
        (self.show)(progress);
    }

    fn used(&self) -> Option<Used> {
        self.watch.map(watch::used)
    }

    /// Ticks until `is_over`, which is looked at when a thread says so and at the time `deadline`.
    fn wait(&mut self, deadline: u64, is_over: impl Fn() -> bool) {
        let begin = self.shared.counts_from.load(Relaxed);
        while !is_over() {
            let now = self.shared.now();
            let left = match deadline.saturating_sub(now) {
                0 => TICK_TIME,
                left => TICK_TIME.min(Duration::from_nanos(left)),
            };
            thread::park_timeout(left);
            let counting = now.checked_sub(begin).filter(|_| begin > 0);
            self.tick(counting.map(Duration::from_nanos));
        }
    }
}

/// Runs the load. `watch` is how the names of the server's threads begin, if their CPU time is
/// wanted.
pub fn run(
    plan: &Plan,
    stop: &'static AtomicBool,
    watch: Option<&str>,
    show: &mut dyn FnMut(Progress),
) -> Result<Outcome> {
    raise_descriptor_limit((plan.connections + plan.idle + 64) as u64)?;
    let shared = Shared {
        plan: plan.clone(),
        pattern: match &plan.protocol {
            Protocol::Echo { .. } => Pattern::new(),
            Protocol::Http { request, .. } => Pattern::repeating(request),
        },
        base: Instant::now(),
        gate: Barrier::new(plan.threads + 1),
        round: Barrier::new(plan.threads),
        counts_from: AtomicU64::new(0),
        counts_until: AtomicU64::new(0),
        stop,
        address: AtomicUsize::new(0),
        ready: AtomicU64::new(0),
        ended: AtomicU64::new(0),
        connected: AtomicU64::new(0),
        answered: AtomicU64::new(0),
        failed: AtomicU64::new(0),
    };
    let polls = (0..plan.threads)
        .map(|_| Poll::new())
        .collect::<std::io::Result<Vec<_>>>()
        .context("epoll_create")?;
    let wakers = polls
        .iter()
        .map(|poll| Waker::new(poll.registry(), TICK))
        .collect::<std::io::Result<Vec<_>>>()
        .context("eventfd")?;
    let keeper = Timekeeper {
        shared: &shared,
        wakers,
        watch,
        show,
    };
    let outcome = thread::scope(|scope| {
        let main = thread::current();
        let start = |(index, poll)| {
            let (shared, main) = (&shared, main.clone());
            scope.spawn(move || Worker::new(shared, index, poll).run(&main))
        };
        let workers = polls.into_iter().enumerate().map(start).collect();
        conduct(keeper, workers)
    });
    Ok(outcome)
}

fn conduct(
    mut keeper: Timekeeper<'_>,
    workers: Vec<thread::ScopedJoinHandle<'_, Tally>>,
) -> Outcome {
    let shared = keeper.shared;
    let plan = &shared.plan;
    let reached = |count: &AtomicU64| count.load(Relaxed) == plan.threads as u64;
    keeper.wait(u64::MAX, || reached(&shared.ready));
    let connecting = shared.base.elapsed();
    shared.gate.wait();

    let begin = shared.now() + plan.warm_up.as_nanos() as u64;
    let until = match plan.limit {
        Limit::Time(time) => begin + time.as_nanos() as u64,
        Limit::Requests(_) | Limit::Rounds(_) => u64::MAX,
    };
    shared.counts_from.store(begin, Relaxed);
    shared.counts_until.store(until, Relaxed);
    shared.gate.wait();

    let is_after = |time| shared.now() >= time || reached(&shared.ended);
    keeper.wait(begin, || is_after(begin));
    let (before, started) = (keeper.used(), shared.now());
    keeper.wait(until, || is_after(until));
    let (after, finished) = (keeper.used(), shared.now());
    let in_time = finished >= until;
    keeper.wait(u64::MAX, || reached(&shared.ended));
    shared.gate.wait();

    let mut tally = Tally::new();
    for worker in workers {
        match worker.join() {
            Ok(part) => tally.add(&part),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
    let end = match plan.rate {
        _ if !in_time => tally.last_answer,
        // What was due in time may have been answered later.
        Some(_) => until.max(tally.last_answer),
        None => until,
    };
    Outcome {
        counted: Duration::from_nanos(end.saturating_sub(tally.first_counted)),
        connecting,
        busy: after
            .zip(before)
            .map(|(after, before)| after.since(&before, finished - started)),
        server: plan.to[shared.address.load(Relaxed)],
        interrupted: shared.stop.load(Relaxed),
        tally,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    static GOES_ON: AtomicBool = AtomicBool::new(false);

    fn plan(to: &[SocketAddr]) -> Plan {
        Plan {
            server: "test".into(),
            to: to.to_vec(),
            from: Vec::new(),
            connections: 5,
            idle: 2,
            protocol: Protocol::Echo { verify: true },
            size: 10,
            depth: 1,
            limit: Limit::Requests(30),
            rate: None,
            warm_up: Duration::ZERO,
            threads: 2,
            reconnect: false,
            timeout: Duration::from_secs(10),
        }
    }

    fn outcome(plan: &Plan) -> Outcome {
        run(plan, &GOES_ON, None, &mut |_| {}).expect("a run")
    }

    fn echo(mut stream: TcpStream) {
        let mut buffer = [0; 100];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if stream.write_all(&buffer[..count]).is_err() {
                return;
            }
        }
    }

    fn server() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("it is bound");
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || echo(stream));
            }
        });
        address
    }

    /// Nothing listens there.
    fn refusing() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.local_addr().expect("it is bound")
    }

    /// connect(2) itself fails there.
    fn impossible() -> SocketAddr {
        "255.255.255.255:9".parse().expect("an address")
    }

    #[test]
    fn addresses_that_fail_are_passed_over() {
        let server = server();
        for to in [
            vec![server],
            vec![refusing(), server],
            vec![impossible(), server],
            vec![server, refusing()],
            vec![refusing(), impossible(), refusing(), server, refusing()],
        ] {
            for reconnect in [false, true] {
                let outcome = outcome(&Plan {
                    reconnect,
                    ..plan(&to)
                });
                let tally = outcome.tally;
                assert_eq!(tally.answered, 30, "{to:?}");
                assert_eq!(tally.not_connected.total(), 0, "{to:?}");
                assert_eq!(
                    tally.connects.len(),
                    if reconnect { 37 } else { 7 },
                    "{to:?}"
                );
                assert_eq!(outcome.server, server, "{to:?}");
            }
        }
    }

    #[test]
    fn connection_that_no_address_takes_fails_once() {
        for to in [
            vec![refusing()],
            vec![refusing(), refusing(), refusing()],
            vec![impossible(), refusing()],
        ] {
            let tally = outcome(&plan(&to)).tally;
            assert_eq!(tally.not_connected.total(), 7, "{to:?}");
            assert_eq!(tally.not_connected.refused, 7, "{to:?}");
            assert_eq!(tally.answered, 0, "{to:?}");
        }
    }

    #[test]
    fn address_that_does_not_answer_is_passed_over_after_the_timeout() {
        // A listener whose queue is full drops what comes.
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let socket = socket.expect("a socket");
        let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
        socket.bind(&any.into()).expect("a port");
        socket.listen(0).expect("a listener");
        let silent = socket.local_addr().expect("it is bound");
        let silent = silent.as_socket().expect("an address of IPv4");
        let patience = Duration::from_millis(300);
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&silent, patience) {
            queued.push(stream);
        }
        let server = server();
        let outcome = outcome(&Plan {
            timeout: patience,
            ..plan(&[silent, server])
        });
        assert_eq!(outcome.tally.answered, 30);
        assert_eq!(outcome.server, server);
        assert!(outcome.connecting >= patience);
    }
}
