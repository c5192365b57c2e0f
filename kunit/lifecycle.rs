// SPDX-License-Identifier: GPL-2.0

//! Starting, stopping and dropping servers, on every executor.

use crate::{
    command::Command,
    probe::{
        builder,
        eventually,
        start,
        Probe,
        Record, //
    },
    support::{
        any_port,
        connect,
        exchange,
        namespace,
        read_to_end,
        Stopwatch, //
    },
    THIS_MODULE, //
};
use kernel::{
    prelude::*,
    sync::atomic::Relaxed,
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    }, //
};
use ktcp_server::{
    net::TcpListener,
    BufferSize,
    CloseReason,
    Executor, //
};
fn dropping_ends_idle_connections_and_the_handler(executor: Executor) -> Result {
    let (server, record, addr) = start(builder(executor).drain(Delta::from_secs(60)))?;
    let mut clients = KVec::new();
    for _ in 0..50 {
        clients.push(connect(addr)?, GFP_KERNEL)?;
    }
    assert!(eventually(|| record.opened() == 50));

    let begin = Instant::<Monotonic>::now();
    drop(server);
    // No peer delays the stop.
    assert!(begin.elapsed().as_millis() < 10_000);
    assert_eq!(record.closed(), 50);
    assert_eq!(record.last_reason(), Some(CloseReason::Stopped));
    assert_eq!(record.sessions_dropped.load(Relaxed), 50);
    assert_eq!(record.handlers_dropped.load(Relaxed), 1);
    for client in &clients {
        assert_eq!(client.read(&mut [0; 4])?, 0);
    }
    assert_eq!(connect(addr).err(), Some(ECONNREFUSED));
    Ok(())
}

fn a_client_that_never_reads_delays_the_stop_until_the_deadline(executor: Executor) -> Result {
    // More than the socket still takes when it has stopped to tell that it takes some.
    let size = BufferSize::of::<{ 8 << 20 }>();
    let (server, record, addr) = start(
        builder(executor)
            .drain(Delta::from_secs(60))
            .input_buffer(size)
            .output_buffer(size),
    )?;
    let client = connect(addr)?;
    // The server sends without end, until all buffers are full.
    client.write_all(&Command::Flood.message())?;
    let mut sent = u64::MAX;
    assert!(eventually(|| {
        fsleep(Delta::from_millis(200));
        let before = core::mem::replace(&mut sent, server.statistics().bytes_out);
        sent == before
    }));

    let watch = Stopwatch::start();
    let begin = Instant::<Monotonic>::now();
    server.shutdown(Delta::from_millis(300));
    assert!(watch.has_run(250));
    assert!(begin.elapsed().as_millis() < 10_000);
    assert_eq!(record.closed(), 1);
    assert_eq!(record.handlers_dropped.load(Relaxed), 1);
    Ok(())
}

fn the_port_is_free_for_the_next_server_at_once(executor: Executor) -> Result {
    let (server, _record, addr) = start(builder(executor))?;
    let client = connect(addr)?;
    exchange(&client, b"hello")?;
    drop(server);
    for _ in 0..5 {
        let (server, _record, again) = start(builder(executor).listen(addr))?;
        assert_eq!(again, addr);
        exchange(&connect(addr)?, b"hello")?;
        drop(server);
    }
    Ok(())
}

fn a_start_that_fails_leaves_nothing(executor: Executor) -> Result {
    let other = TcpListener::bind(&namespace()?, any_port())?;
    let record = Record::new()?;
    let server = builder(executor).listen(other.local_addr()?).start(
        &THIS_MODULE,
        Probe::<true> {
            record: record.clone(),
        },
    );
    assert_eq!(server.err(), Some(EADDRINUSE));
    assert_eq!(record.handlers_dropped.load(Relaxed), 1);

    let drain = builder(executor).drain(Delta::from_millis(-1));
    assert_eq!(start(drain).err(), Some(EINVAL));
    Ok(())
}

fn servers_do_not_disturb_each_other(executor: Executor) -> Result {
    let (one, _, first) = start(builder(executor))?;
    let (_two, _, second) = start(builder(executor))?;
    let client = connect(second)?;
    exchange(&client, b"hello")?;
    drop(one);
    assert_eq!(connect(first).err(), Some(ECONNREFUSED));
    exchange(&client, b"still here")?;
    Ok(())
}

fn a_handler_may_drop_its_own_server(executor: Executor) -> Result {
    let (server, record, addr) = start(builder(executor))?;
    record.victim.with(|slot| *slot = Some(server));
    let (client, other) = (connect(addr)?, connect(addr)?);
    exchange(&other, b"hello")?;
    client.write_all(&Command::DropServer.message())?;
    // The answer is still sent, and the connections of all clients end.
    assert!(read_to_end(&client, 100)?[..] == Command::DropServer.message());
    assert_eq!(other.read(&mut [0; 4])?, 0);
    assert!(eventually(|| record.handlers_dropped.load(Relaxed) == 1));
    assert_eq!(record.closed(), 2);
    assert_eq!(connect(addr).err(), Some(ECONNREFUSED));
    Ok(())
}

fn a_handler_may_drop_another_server(executor: Executor) -> Result {
    let (_server, record, addr) = start(builder(executor))?;
    let (victim, its_record, its_addr) = start(builder(executor))?;
    record.victim.with(|slot| *slot = Some(victim));
    let drop_server = Command::DropServer.message();
    assert!(exchange(&connect(addr)?, &drop_server)?[..] == drop_server);
    // The handler does not wait for the server that it drops.
    assert!(eventually(|| its_record.handlers_dropped.load(Relaxed) == 1));
    assert!(eventually(|| connect(its_addr).err() == Some(ECONNREFUSED)));
    Ok(())
}

suites! {
    ktcp_lifecycle_kthread, ktcp_lifecycle_workqueue, ktcp_lifecycle_event_loop, ktcp_lifecycle_softirq,
    ktcp_lifecycle_trying;
    dropping_ends_idle_connections_and_the_handler,
    a_client_that_never_reads_delays_the_stop_until_the_deadline,
    the_port_is_free_for_the_next_server_at_once,
    a_start_that_fails_leaves_nothing,
    servers_do_not_disturb_each_other,
    a_handler_may_drop_its_own_server,
    a_handler_may_drop_another_server,
}
