// SPDX-License-Identifier: GPL-2.0

//! Failures of each single allocation in starting, accepting and echoing, on every executor.
//!
//! Each test fails the first allocation, then the second, and so on until the operation succeeds with
//! fewer allocations than that.

use crate::{
    fault,
    probe::{
        builder,
        eventually,
        Probe,
        Record, //
    },
    support::{
        any_port,
        connect,
        exchange,
        namespace, //
    },
    THIS_MODULE, //
};
use core::net::SocketAddr;
use kernel::{
    prelude::*,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use ktcp_server::{
    error::{
        EADDRINUSE,
        ENOBUFS, //
    },
    net::TcpListener,
    Executor,
    KernelTcpServer, //
};

/// More allocations than any of the tests should need.
const TOO_MANY: u32 = 2000;

/// An address that was free a moment ago.
fn free_addr() -> Result<SocketAddr> {
    TcpListener::bind(&namespace()?, any_port())?.local_addr()
}

/// Returns true if C reports a lack of memory by this error: `ENFILE` for a socket, `ENOBUFS` for the
/// state of TCP, `EADDRINUSE` for the record of a port in use, `EAGAIN` for a thread.
fn is_shortage(error: Error) -> bool {
    [ENOMEM, ENFILE, ENOBUFS, EADDRINUSE, EAGAIN].contains(&error)
}

/// Starts servers while the allocations fail that `arm` arms, until none fails. Returns the number of
/// allocations that have failed.
fn walk_start(executor: Executor, arm: impl Fn(u32)) -> Result<u32> {
    fault::setup()?;
    let addr = free_addr()?;
    let mut sockets = fault::sockets();
    assert_eq!(fault::tasks(c"probe/"), 0);

    for nth in 1..TOO_MANY {
        let record = Record::new()?;
        let probe = Probe::<true> {
            record: record.clone(),
        };
        let builder = builder(executor).listen(addr);
        arm(nth);
        let started = builder.start(&THIS_MODULE, probe);
        let failed = fault::disarm();
        match started {
            Ok(server) => {
                // It may succeed in spite of a failed allocation, if the kernel has found another way.
                assert!(exchange(&connect(addr)?, b"hello")?[..] == b"hello"[..]);
                drop(server);
                if !failed {
                    return Ok(nth - 1);
                }
            }
            Err(error) => {
                assert!(failed);
                let shortage = if is_shortage(error) { error } else { ENOMEM };
                assert_eq!(error, shortage);
            }
        }
        assert_eq!(record.handlers_dropped.load(Relaxed), 1);
        assert_eq!(fault::tasks(c"probe/"), 0);
        // Its senders keep the server's data, and with that the listening socket.
        drop(record);
        // The client's socket is freed once it has seen the end of the connection.
        assert!(eventually(|| fault::sockets() <= sockets));
        // Sockets of earlier tests may have been freed meanwhile, too.
        sockets = fault::sockets();
        // And the port is free.
        drop(TcpListener::bind(&namespace()?, addr)?);
    }
    Err(E2BIG)
}

fn start_survives_each_failure(executor: Executor) -> Result {
    let failures = walk_start(executor, fault::arm_current)?;
    pr_info!("start: {failures} allocations of the caller have failed\n");
    assert!(failures >= 10);
    Ok(())
}

/// Fails allocations of kthreadd, the task that makes the threads.
fn start_survives_failures_in_making_threads(executor: Executor) -> Result {
    let failures = walk_start(executor, fault::arm_thread_maker)?;
    pr_info!("start: {failures} allocations of kthreadd have failed\n");
    assert!(failures >= 3);
    Ok(())
}

fn start_probe(executor: Executor) -> Result<(KernelTcpServer, Arc<Record>, SocketAddr)> {
    fault::setup()?;
    crate::probe::start(builder(executor))
}

/// Returns true if a new client is served.
fn is_served(addr: SocketAddr) -> bool {
    connect(addr)
        .and_then(|client| exchange(&client, b"hello"))
        .is_ok()
}

fn accepting_survives_each_failure(executor: Executor) -> Result {
    let (server, _record, addr) = start_probe(executor)?;
    let bystander = connect(addr)?;
    exchange(&bystander, b"hello")?;

    for nth in 1..TOO_MANY {
        assert_eq!(fault::arm_tasks(c"probe/accept", nth), 1);
        // The thread may have allocated for the first client before; it allocates for the second.
        let served = is_served(addr) && is_served(addr);
        let failed = fault::disarm();
        if !failed {
            assert!(served);
            let statistics = server.statistics();
            pr_info!("accept: {} allocations have failed\n", nth - 1);
            assert!(nth > 3);
            // TCP recovers from some of its own failures.
            assert!(statistics.out_of_memory + statistics.accept_errors >= 2);
            return Ok(());
        }
        // Accepting goes on after a pause; the bystander has noticed nothing.
        assert!(is_served(addr));
        exchange(&bystander, b"hello")?;
    }
    Err(E2BIG)
}

fn conversing_survives_each_failure(executor: Executor) -> Result {
    for nth in 1..TOO_MANY {
        // A new server has no buffers left over from another connection.
        let (server, record, addr) = start_probe(executor)?;
        record.fail_nth.store(nth, Relaxed);
        let client = connect(addr)?;
        client.write_all(b"hello")?;
        // When the gate opens, the task whose allocation is to fail finds the bytes in the socket.
        fsleep(Delta::from_millis(20));
        record.gate.store(1, Relaxed);
        let served = client.read(&mut [0; 5]) == Ok(5);
        assert_eq!(record.fail_nth.load(Relaxed), 0);
        // Before the client goes: a connection's thread ends with it.
        let failed = fault::disarm();
        drop(client);
        if !failed {
            assert!(served);
            pr_info!("conversation: {} allocations have failed\n", nth - 1);
            assert!(nth > 2);
            return Ok(());
        }
        assert!(is_served(addr));
        assert!(eventually(|| record.closed() == 2));
        if !served {
            assert!(eventually(|| server.statistics().out_of_memory == 1));
        }
        drop(server);
        assert_eq!(record.sessions_dropped.load(Relaxed), 2);
        assert_eq!(record.handlers_dropped.load(Relaxed), 1);
    }
    Err(E2BIG)
}

suites! {
    ktcp_memory_kthread, ktcp_memory_workqueue, ktcp_memory_event_loop;
    start_survives_each_failure,
    accepting_survives_each_failure,
    conversing_survives_each_failure,
}

/// Servers with a thread for each connection start at least two threads, servers with loops three.
#[kunit_tests(ktcp_memory_threads)]
mod threads {
    use super::*;

    #[test]
    fn kthread() -> Result {
        start_survives_failures_in_making_threads(Executor::Kthread)
    }

    #[test]
    fn event_loop() -> Result {
        start_survives_failures_in_making_threads(Executor::EventLoop)
    }
}
