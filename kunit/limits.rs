// SPDX-License-Identifier: GPL-2.0

//! Limits, timeouts and back-pressure, on every executor.

use crate::{
    command::Command,
    probe::{
        builder,
        eventually,
        fill,
        start, //
    },
    support::{
        at_pace,
        connect,
        exchange,
        namespace,
        pattern,
        read_to_end,
        Stopwatch, //
    }, //
};
use core::net::{
    IpAddr,
    Ipv4Addr,
    Ipv6Addr,
    SocketAddr, //
};
use kernel::{
    error::to_result,
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
    error::ECONNRESET,
    net::TcpStream,
    BufferSize,
    CloseReason,
    Executor, //
};

extern "C" {
    fn ktcp_kunit_claim(port: u16, claimed: bool) -> c_int;
}

/// Has another user claim the sockets of newcomers to that port, or stops doing so.
fn claim(addr: SocketAddr, claimed: bool) -> Result {
    // SAFETY: May be called from any task.
    to_result(unsafe { ktcp_kunit_claim(addr.port(), claimed) })
}

/// Long enough for a test that is held up now and then, short enough to wait for.
const TIMEOUT: Delta = Delta::from_millis(300);

/// Waits for the reset of a connection on which nothing else comes.
fn is_reset(client: &TcpStream) -> bool {
    client.read(&mut [0; 4]) == Err(ECONNRESET)
}

/// Returns true if a newcomer is reset, even before `connect` has returned.
fn is_refused(addr: SocketAddr) -> bool {
    connect(addr).map_or_else(|error| error == ECONNRESET, |client| is_reset(&client))
}

fn one_connection_too_many_is_reset(executor: Executor) -> Result {
    let (server, record, addr) = start(builder(executor).max_connections(3))?;
    let mut clients = KVec::new();
    for _ in 0..3 {
        let client = connect(addr)?;
        exchange(&client, b"hello")?;
        clients.push(client, GFP_KERNEL)?;
    }
    for _ in 0..2 {
        assert!(is_refused(addr));
    }
    for client in &clients {
        exchange(client, b"still here")?;
    }
    // A peer may see the reset before it is counted.
    assert!(eventually(|| server.statistics().refused_by_limit == 2));
    let statistics = server.statistics();
    assert_eq!(statistics.accepted, 3);
    assert_eq!((statistics.open, statistics.most_open), (3, 3));
    // The handler does not learn of refused newcomers.
    assert_eq!(record.opened(), 3);

    // A connection that ends makes room for another.
    clients.pop();
    assert!(eventually(|| server.statistics().open == 2));
    exchange(&connect(addr)?, b"hello")?;
    Ok(())
}

fn an_address_has_its_share_by_v4_and_v6_together(executor: Executor) -> Result {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let (server, _record, addr) =
        start(builder(executor).listen(any).only_v6(false).max_per_peer(2))?;
    let to = |ip: IpAddr| SocketAddr::from((ip, addr.port()));
    let four = to(Ipv4Addr::LOCALHOST.into());
    let mapped = to(Ipv4Addr::LOCALHOST.to_ipv6_mapped().into());

    let (one, other) = (connect(four)?, connect(mapped)?);
    exchange(&one, b"hello")?;
    exchange(&other, b"hello")?;
    assert!(is_refused(four));
    assert!(is_refused(mapped));
    assert!(eventually(|| server.statistics().refused_by_peer_limit == 2));

    // Another address has a share of its own.
    exchange(&connect(to(Ipv6Addr::LOCALHOST.into()))?, b"hello")?;
    let neighbour = TcpStream::options()
        .local_addr(SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 0)))
        .connect(&namespace()?, four)?;
    exchange(&neighbour, b"hello")?;

    drop(other);
    assert!(eventually(|| {
        connect(four).is_ok_and(|client| exchange(&client, b"hello").is_ok())
    }));
    Ok(())
}

fn addresses_of_one_prefix_share(executor: Executor) -> Result {
    let (server, _record, addr) = start(builder(executor).max_per_peer(1).peer_prefix_v4(24))?;
    let from = |last_but_one, last| {
        TcpStream::options()
            .local_addr(SocketAddr::from((
                Ipv4Addr::new(127, 0, last_but_one, last),
                0,
            )))
            .connect(&namespace()?, addr)
    };
    let first = from(1, 1)?;
    exchange(&first, b"hello")?;
    assert!(from(1, 2).map_or_else(|error| error == ECONNRESET, |client| is_reset(&client)));
    exchange(&from(2, 1)?, b"hello")?;
    assert!(eventually(|| server.statistics().refused_by_peer_limit == 1));

    // The share goes back to the prefix.
    drop(first);
    assert!(eventually(|| {
        from(1, 3).is_ok_and(|client| exchange(&client, b"hello").is_ok())
    }));
    Ok(())
}

fn a_socket_that_somebody_else_watches_is_left_alone(executor: Executor) -> Result {
    let (server, record, addr) = start(builder(executor))?;
    let bystander = connect(addr)?;
    exchange(&bystander, b"hello")?;
    claim(addr, true)?;
    for _ in 0..3 {
        assert!(is_refused(addr));
    }
    claim(addr, false)?;
    exchange(&connect(addr)?, b"hello")?;
    exchange(&bystander, b"still here")?;
    // A peer may see the reset before it is counted.
    assert!(eventually(|| server.statistics().refused_in_use == 3));
    assert_eq!(record.opened(), 2);
    Ok(())
}

fn an_idle_connection_is_closed(executor: Executor) -> Result {
    at_pace(TIMEOUT.as_millis() / 2, |pace| {
        let (server, record, addr) = start(builder(executor).idle_timeout(TIMEOUT))?;
        let (idle, busy) = (connect(addr)?, connect(addr)?);
        let watch = Stopwatch::start();
        exchange(&idle, b"hello")?;
        let begin = Instant::<Monotonic>::now();
        while record.closed() == 0 && begin.elapsed().as_millis() < 5000 {
            exchange(&busy, b"hello")?;
            pace.beat();
            fsleep(Delta::from_millis(20));
        }
        assert!(watch.has_run(250));
        // In order, not with a reset.
        assert_eq!(idle.read(&mut [0; 4])?, 0);
        assert_eq!(record.closed(), 1);
        assert_eq!(record.last_reason(), Some(CloseReason::Idle));
        assert!(eventually(|| server.statistics().closed_idle == 1));
        exchange(&busy, b"still here")?;
        Ok(())
    })
}

fn a_message_that_comes_in_drips_is_not_waited_for(executor: Executor) -> Result {
    let (server, record, addr) = start(builder(executor).receive_timeout(TIMEOUT))?;
    let (silent, slow) = (connect(addr)?, connect(addr)?);
    // A peer that has begun no message has no deadline.
    exchange(&silent, &Command::EMPTY_LINE)?;
    let watch = Stopwatch::start();
    let begin = Instant::<Monotonic>::now();
    // A socket reports an error once: to this write, if the reset comes during the loop.
    let mut reset = false;
    while record.closed() == 0 && begin.elapsed().as_millis() < 5000 {
        reset |= slow.write(&Command::Line.message()) == Err(ECONNRESET);
        fsleep(Delta::from_millis(20));
    }
    // Closed while drips were still coming.
    assert_eq!(record.closed(), 1);
    assert!(watch.has_run(250));
    assert!(reset || is_reset(&slow));
    assert_eq!(record.last_reason(), Some(CloseReason::ReceiveTimeout));
    assert!(eventually(
        || server.statistics().closed_receive_timeout == 1
    ));
    exchange(&silent, &Command::EMPTY_LINE)?;
    Ok(())
}

fn a_slow_peer_is_told(executor: Executor) -> Result {
    let (server, record, addr) = start(builder(executor).receive_timeout(TIMEOUT))?;
    let slow = connect(addr)?;
    slow.write_all(&Command::PoliteLine.message())?;
    assert!(read_to_end(&slow, 100)?[..] == b"too slow"[..]);
    assert!(eventually(|| record.closed() == 1));
    assert_eq!(record.last_reason(), Some(CloseReason::ReceiveTimeout));
    assert!(eventually(
        || server.statistics().closed_receive_timeout == 1
    ));
    Ok(())
}

fn a_peer_that_does_not_read_is_not_waited_for(executor: Executor) -> Result {
    let (server, record, addr) = start(builder(executor).send_timeout(TIMEOUT))?;
    let (good, bad) = (connect(addr)?, connect(addr)?);
    exchange(&good, b"hello")?;
    // Fails if the reset comes before the buffers are full.
    let _ = fill(&bad);
    assert!(eventually(|| record.closed() == 1));
    assert_eq!(record.last_reason(), Some(CloseReason::SendTimeout));
    assert!(eventually(|| server.statistics().closed_send_timeout == 1));
    exchange(&good, b"still here")?;
    Ok(())
}

fn who_is_not_read_from_is_not_received_from(executor: Executor) -> Result {
    const KERNEL: u32 = 16 << 10;
    let size = BufferSize::of::<4096>();
    let (server, _record, addr) = start(
        builder(executor)
            .send_buffer_size(KERNEL)
            .receive_buffer_size(KERNEL)
            .input_buffer(size)
            .output_buffer(size),
    )?;
    let client = TcpStream::options()
        .send_buffer_size(KERNEL)
        .receive_buffer_size(KERNEL)
        .connect(&namespace()?, addr)?;
    client.set_read_timeout(Some(Delta::from_secs(30)))?;
    client.set_write_timeout(Some(Delta::from_millis(100)))?;

    // Only four buffers of the kernel and two of the server lie between client and handler.
    let data = pattern(256 << 10)?;
    let (mut sent, mut refused) = (0, 0);
    while refused < 5 {
        match client.write(&data[sent..]) {
            Ok(count) => (sent, refused) = (sent + count, 0),
            Err(ETIMEDOUT) => refused += 1,
            Err(error) => return Err(error),
        }
    }
    assert!(sent < 200 << 10);
    assert!((server.statistics().bytes_in as usize) < sent);
    // Other clients are served meanwhile.
    exchange(&connect(addr)?, b"hello")?;

    // No byte is lost.
    let mut answer = KVVec::from_elem(0, sent, GFP_KERNEL)?;
    client.read_exact(&mut answer)?;
    assert!(answer[..] == data[..sent]);
    let rest = exchange(&client, &data[sent..])?;
    assert!(rest[..] == data[sent..]);
    Ok(())
}

fn mptcp_peers_may_take_their_time(executor: Executor) -> Result {
    // Buffers of the kernel's choice would take megabytes.
    let size = 64 << 10;
    let (_server, _record, addr) = start(
        builder(executor)
            .mptcp(true)
            .send_buffer_size(size)
            .receive_buffer_size(size),
    )?;
    let client = TcpStream::options()
        .mptcp(true)
        .send_buffer_size(size)
        .receive_buffer_size(size)
        .connect(&namespace()?, addr)?;
    client.set_read_timeout(Some(Delta::from_secs(10)))?;
    // Fills all buffers: the server neither sends nor receives any more.
    let sent = fill(&client)?;
    assert!(sent > 64 << 10);
    // It goes on when there is room again.
    let mut answer = KVVec::from_elem(0, sent, GFP_KERNEL)?;
    client.read_exact(&mut answer)?;
    exchange(&client, b"hello")?;
    Ok(())
}

fn a_hundred_at_once_are_all_served(executor: Executor) -> Result {
    const COUNT: usize = 100;
    let (server, _record, addr) = start(builder(executor))?;
    let mut clients = KVec::with_capacity(COUNT, GFP_KERNEL)?;
    for _ in 0..COUNT {
        clients.push(connect(addr)?, GFP_KERNEL)?;
    }
    for round in 0..3u32 {
        for (index, client) in clients.iter().enumerate() {
            // The first byte is 0, for which the handler has no other answer than the echo.
            client.write_all(&(index as u32 * 7 + round).to_be_bytes())?;
        }
        for (index, client) in clients.iter().enumerate() {
            let mut answer = [0; 4];
            client.read_exact(&mut answer)?;
            assert_eq!(u32::from_be_bytes(answer), index as u32 * 7 + round);
        }
    }
    assert_eq!(server.statistics().open, COUNT as u64);
    // The counters follow after all polls of a batch; the client may have its answer before.
    assert!(eventually(|| {
        let statistics = server.statistics();
        (statistics.bytes_in, statistics.bytes_out) == (3 * 4 * COUNT as u64, 3 * 4 * COUNT as u64)
    }));
    Ok(())
}

suites! {
    ktcp_limits_kthread, ktcp_limits_workqueue, ktcp_limits_event_loop, ktcp_limits_softirq,
    ktcp_limits_trying;
    one_connection_too_many_is_reset,
    an_address_has_its_share_by_v4_and_v6_together,
    addresses_of_one_prefix_share,
    a_socket_that_somebody_else_watches_is_left_alone,
    an_idle_connection_is_closed,
    a_message_that_comes_in_drips_is_not_waited_for,
    a_slow_peer_is_told,
    a_peer_that_does_not_read_is_not_waited_for,
    who_is_not_read_from_is_not_received_from,
    mptcp_peers_may_take_their_time,
    a_hundred_at_once_are_all_served,
}

/// Handlers that sleep for long, on the executors on which they may.
#[kunit_tests(ktcp_sleepers)]
mod sleepers {
    use super::*;

    /// More handlers than one workqueue runs at once in the kernels of the suites.
    const MANY: usize = 150;

    /// Puts [`MANY`] handlers to sleep at the same time; another client is served meanwhile.
    fn others_are_served(executor: Executor) -> Result {
        let (server, record, addr) = start(builder(executor))?;
        let mut sleepers = KVec::new();
        for _ in 0..MANY {
            let sleeper = connect(addr)?;
            sleeper.write_all(&Command::Sleep.message())?;
            sleepers.push(sleeper, GFP_KERNEL)?;
        }
        assert!(eventually(|| record.asleep.load(Relaxed) == MANY as i32));
        let client = connect(addr)?;
        for _ in 0..5 {
            exchange(&client, b"hello")?;
        }
        assert_eq!(record.asleep.load(Relaxed), MANY as i32);
        record.wake.store(true, Relaxed);
        for sleeper in &sleepers {
            sleeper.read_exact(&mut [0; 1])?;
        }
        // Their numbers are used again.
        drop(sleepers);
        assert!(eventually(|| server.statistics().open == 1));
        for _ in 0..MANY {
            exchange(&connect(addr)?, b"hello")?;
        }
        Ok(())
    }

    #[test]
    fn kthread() -> Result {
        others_are_served(Executor::Kthread)
    }

    #[test]
    fn workqueue() -> Result {
        others_are_served(Executor::Workqueue)
    }
}
