// SPDX-License-Identifier: GPL-2.0

//! Listeners that end under their servers, on every executor.

use crate::{
    fault,
    probe::{
        builder,
        eventually,
        start, //
    },
    support::{
        connect,
        exchange,
        namespace, //
    }, //
};
use core::net::SocketAddr;
use kernel::{
    error::to_result,
    prelude::*,
    str::CString,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use ktcp_server::{
    net::TcpListener,
    Executor, //
};

extern "C" {
    fn ktcp_kunit_abort_listener(port: u16) -> c_int;
    fn ktcp_kunit_log_lines(text: *const c_char) -> c_uint;
}

/// Ends the listener at that address, as `ss -K` does.
fn abort_listener(addr: SocketAddr) -> Result {
    // SAFETY: Called by a task that may sleep, which tests may.
    to_result(unsafe { ktcp_kunit_abort_listener(addr.port()) })
}

/// Returns the number of log lines that consist of `before`, the address and `after`.
fn lines(before: &str, addr: SocketAddr, after: &str) -> Result<c_uint> {
    let text = CString::try_from_fmt(fmt!("{before} {addr:?} {after}"))?;
    // SAFETY: A string, which C only reads.
    Ok(unsafe { ktcp_kunit_log_lines(text.as_char_ptr()) })
}

fn is_served(addr: SocketAddr) -> bool {
    connect(addr).is_ok_and(|client| exchange(&client, b"hello").is_ok())
}

fn a_listener_that_is_closed_by_another_is_renewed(executor: Executor) -> Result {
    let (server, _record, addr) = start(builder(executor))?;
    let bystander = connect(addr)?;
    exchange(&bystander, b"hello")?;
    for count in 1..=5 {
        abort_listener(addr)?;
        assert!(eventually(|| server.statistics().listener_restarts == count));
        assert!(is_served(addr));
        exchange(&bystander, b"still here")?;
    }
    assert_eq!(server.local_addr(), addr);
    assert_eq!(server.statistics().accept_errors, 5);
    assert_eq!(lines("the listener on", addr, "was closed by another")?, 5);
    assert_eq!(lines("listening on", addr, "again")?, 5);
    assert_eq!(lines("cannot listen on", addr, "again yet")?, 0);
    Ok(())
}

fn a_listener_that_cannot_be_renewed_is_tried_again(executor: Executor) -> Result {
    fault::setup()?;
    let (server, _record, addr) = start(builder(executor))?;
    // The accepting thread waits for the next connection, and has allocated all that it needs for it.
    exchange(&connect(addr)?, b"hello")?;
    assert!(eventually(|| server.statistics().open == 0));
    fsleep(Delta::from_millis(50));

    // Fails its first allocation for a new listener.
    assert_eq!(fault::arm_tasks(c"probe/accept", 1), 1);
    let aborted = abort_listener(addr);
    let renewed = eventually(|| server.statistics().listener_restarts == 1);
    assert!(fault::disarm());
    aborted?;
    assert!(renewed);
    assert!(is_served(addr));
    assert_eq!(server.statistics().accept_errors, 2);
    assert_eq!(lines("cannot listen on", addr, "again yet")?, 1);
    Ok(())
}

fn a_stop_leaves_no_new_listener(executor: Executor) -> Result {
    for round in 0..30 {
        let (server, _record, addr) = start(builder(executor))?;
        abort_listener(addr)?;
        // Before it listens again, while it does, and after that.
        fsleep(Delta::from_micros(round * 200));
        drop(server);
        assert_eq!(connect(addr).err(), Some(ECONNREFUSED));
        drop(TcpListener::bind(&namespace()?, addr)?);
    }
    Ok(())
}

suites! {
    ktcp_listening_kthread, ktcp_listening_workqueue, ktcp_listening_event_loop;
    a_listener_that_is_closed_by_another_is_renewed,
    a_listener_that_cannot_be_renewed_is_tried_again,
    a_stop_leaves_no_new_listener,
}
