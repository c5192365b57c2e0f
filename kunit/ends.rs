// SPDX-License-Identifier: GPL-2.0

//! What an end tells the peer: an orderly one that this was all, a reset that it was not. And for how long
//! a peer may take the rest.

use crate::{
    command::Command,
    probe::{
        builder,
        eventually,
        start, //
    },
    support::{
        connect,
        exchange,
        namespace,
        read_to_end, //
    },
    THIS_MODULE, //
};
use core::net::SocketAddr;
use kernel::{
    prelude::*,
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    }, //
};
use ktcp_server::{
    error::{
        ECONNRESET,
        ENOTCONN, //
    },
    net::{
        Shutdown,
        TcpStream, //
    },
    Builder,
    CloseReason,
    Executor,
    Handler,
    Input,
    Next,
    Output,
    Peer, //
};

/// Reads to the end of the stream or to its reset; returns how many bytes came before it.
fn read_all(stream: &TcpStream) -> (usize, Result) {
    let mut buffer = [0; 512];
    let mut count = 0;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return (count, Ok(())),
            Ok(more) => count += more,
            Err(error) => return (count, Err(error)),
        }
    }
}

/// Has the server write to `client` until nothing more fits anywhere.
fn flood(client: &TcpStream) -> Result {
    client.write_all(&Command::Flood.message())
}

fn an_idle_peer_with_output_left_is_reset(executor: Executor) -> Result {
    let timeout = Delta::from_millis(300);
    let (server, record, addr) = start(builder(executor).idle_timeout(timeout))?;
    let client = connect(addr)?;
    flood(&client)?;
    assert!(eventually(|| record.closed() == 1));
    assert_eq!(record.last_reason(), Some(CloseReason::Idle));
    assert_eq!(read_all(&client).1, Err(ECONNRESET));
    assert!(eventually(|| server.statistics().open == 0));
    Ok(())
}

fn an_idle_peer_that_has_everything_sees_the_end(executor: Executor) -> Result {
    let timeout = Delta::from_millis(300);
    let (server, record, addr) = start(builder(executor).idle_timeout(timeout))?;
    let client = connect(addr)?;
    assert_eq!(exchange(&client, b"hello")?[..], *b"hello");
    assert!(eventually(|| record.closed() == 1));
    assert_eq!(read_all(&client), (0, Ok(())));
    assert!(eventually(|| server.statistics().open == 0));
    assert_eq!(server.statistics().unacknowledged, 0);
    Ok(())
}

fn a_peer_that_reads_slowly_is_not_idle(executor: Executor) -> Result {
    let timeout = Delta::from_millis(1000);
    let builder = builder(executor)
        .idle_timeout(timeout)
        .send_timeout(timeout)
        .send_buffer_size(32 << 10);
    let (server, record, addr) = start(builder)?;
    // Its kernel tells of room in steps of a segment, or of half of this.
    let client = TcpStream::options()
        .receive_buffer_size(8 << 10)
        .connect(&namespace()?, addr)?;
    flood(&client)?;
    let begin = Instant::<Monotonic>::now();
    let mut piece = [0; 2 << 10];
    while begin.elapsed() < Delta::from_millis(3500) {
        client.read_exact(&mut piece)?;
        fsleep(Delta::from_millis(100));
    }
    assert_eq!(record.closed(), 0);
    // Now it stops.
    assert!(eventually(|| record.closed() == 1));
    assert_eq!(read_all(&client).1, Err(ECONNRESET));
    drop(server);
    Ok(())
}

/// A server whose sockets take all that it says to a client that has [parted](parted).
fn roomy(executor: Executor) -> Builder {
    builder(executor).send_buffer_size(128 << 10)
}

/// A client that has been sent more than its kernel takes, and to whom the handler has said goodbye.
fn parted(addr: SocketAddr) -> Result<TcpStream> {
    let client = TcpStream::options()
        .receive_buffer_size(4 << 10)
        .connect(&namespace()?, addr)?;
    client.write_all(&KVVec::from_elem(b'x', 60_000, GFP_KERNEL)?)?;
    client.shutdown(Shutdown::Write)?;
    Ok(client)
}

fn a_closing_connection_is_one_of_those_there_may_be(executor: Executor) -> Result {
    let (server, record, addr) = start(roomy(executor).max_connections(1))?;
    let client = parted(addr)?;
    assert!(eventually(|| record.closed() == 1));
    assert_eq!(record.last_reason(), Some(CloseReason::Ended));
    // The handler hears of the end first.
    assert!(eventually(|| server.statistics().closing == 1));
    assert_eq!(server.statistics().open, 1);
    // The reset may come before the connection is there.
    let refused = connect(addr).and_then(|client| read_all(&client).1);
    assert_eq!(refused, Err(ECONNRESET));
    // The newcomer may see the reset before the server has counted it.
    assert!(eventually(|| server.statistics().refused_by_limit == 1));

    // What was said last is there for it.
    assert_eq!(read_all(&client), (60_001, Ok(())));
    assert!(eventually(|| server.statistics().open == 0));
    assert_eq!(server.statistics().closing, 0);
    assert_eq!(server.statistics().unacknowledged, 0);
    Ok(())
}

fn a_closing_connection_that_does_not_go_on_is_reset(executor: Executor) -> Result {
    let timeout = Delta::from_millis(500);
    let (server, record, addr) = start(roomy(executor).close_timeout(timeout))?;
    let client = parted(addr)?;
    assert!(eventually(|| record.closed() == 1));
    assert!(eventually(|| server.statistics().open == 0));
    assert_eq!(server.statistics().unacknowledged, 1);
    assert_eq!(read_all(&client).1, Err(ECONNRESET));
    Ok(())
}

fn a_stop_waits_until_the_rest_is_acknowledged(executor: Executor) -> Result {
    let drain = Delta::from_millis(1500);
    let (server, record, addr) = start(roomy(executor).drain(drain))?;
    let (reader, deaf) = (parted(addr)?, parted(addr)?);
    assert!(eventually(|| record.closed() == 2));
    assert_eq!(read_all(&reader), (60_001, Ok(())));
    let begin = Instant::<Monotonic>::now();
    drop(server);
    assert!(begin.elapsed() >= drain);
    assert_eq!(read_all(&deaf).1, Err(ECONNRESET));
    Ok(())
}

fn pushed_data_that_is_not_sent_makes_the_end_a_reset(executor: Executor) -> Result {
    let timeout = Delta::from_millis(1000);
    let (server, record, addr) = start(builder(executor).idle_timeout(timeout))?;
    let client = connect(addr)?;
    assert!(eventually(|| record.opened() == 1));
    let sender = record
        .senders
        .with(|senders| senders.first().cloned())
        .ok_or(ENOENT)?;
    let news = KVVec::from_elem(b'n', 1000, GFP_KERNEL)?;
    // Until neither the socket nor the output has room, and for good.
    let mut refused = 0;
    while refused < 20 {
        if sender.send(&news).is_ok() {
            refused = 0;
        } else {
            refused += 1;
            fsleep(Delta::from_millis(10));
        }
    }
    assert!(eventually(|| record.closed() == 1));
    assert_eq!(record.last_reason(), Some(CloseReason::Idle));
    assert_eq!(read_all(&client).1, Err(ECONNRESET));
    drop(server);
    Ok(())
}

/// An echo that takes its time to part from a peer.
struct SlowToPart;

impl Handler for SlowToPart {
    type Session = ();

    fn open(&self, _peer: &Peer<'_>) -> Result {
        Ok(())
    }

    fn receive(
        &self,
        _session: &mut (),
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Next> {
        output.forward(input);
        Ok(Next::Receive)
    }

    fn close(&self, _session: (), _reason: CloseReason) {
        fsleep(Delta::from_millis(500));
    }
}

fn a_stop_without_drain_does_not_wait_for_what_a_slow_handler_leaves(executor: Executor) -> Result {
    namespace()?;
    let server = roomy(executor).start(&THIS_MODULE, SlowToPart)?;
    let client = TcpStream::options()
        .receive_buffer_size(4 << 10)
        .connect(&namespace()?, server.local_addr())?;
    client.write_all(&KVVec::from_elem(b'x', 60_000, GFP_KERNEL)?)?;
    assert!(eventually(|| server.statistics().bytes_out == 60_000));

    let begin = Instant::<Monotonic>::now();
    server.shutdown(Delta::ZERO);
    assert!(begin.elapsed() < Delta::from_secs(20));
    assert_eq!(read_all(&client).1, Err(ECONNRESET));
    Ok(())
}

fn what_is_pushed_until_the_end_arrives_before_it(executor: Executor) -> Result {
    const CLIENTS: usize = 20;

    let (_server, record, addr) = start(builder(executor))?;
    for number in 1..=CLIENTS {
        let client = connect(addr)?;
        assert!(eventually(|| record.opened() == number as i32));
        let sender = record
            .senders
            .with(|senders| senders.pop())
            .ok_or(ENOTCONN)?;
        client.write_all(&Command::Close.message())?;
        // A softirq has decided on the end by now, which a thread brings about.
        let expected: &[u8] = match sender.send(b"news") {
            Ok(()) => b"byenews",
            Err(_) => b"bye",
        };
        let received = read_to_end(&client, 100)?;
        // Before the handler said its last word, or behind that.
        assert!(received[..] == *expected || received[..] == *b"newsbye");
    }
    Ok(())
}

fn a_closing_connection_is_reset_in_time_though_the_next_probe_is_late(
    executor: Executor,
) -> Result {
    let timeout = Delta::from_millis(300);
    let (server, record, addr) = start(roomy(executor).close_timeout(timeout))?;
    let client = TcpStream::options()
        .receive_buffer_size(4 << 10)
        .connect(&namespace()?, addr)?;
    client.write_all(&KVVec::from_elem(b'x', 60_000, GFP_KERNEL)?)?;
    // After 0.2 s, 0.4 s, 0.8 s and 1.6 s TCP has asked for room, and will again after 3.2 s.
    fsleep(Delta::from_millis(3300));
    client.shutdown(Shutdown::Write)?;
    assert!(eventually(|| record.closed() == 1));
    let begin = Instant::<Monotonic>::now();
    assert!(eventually(|| server.statistics().open == 0));
    assert!(begin.elapsed() < Delta::from_millis(2000));
    assert_eq!(server.statistics().unacknowledged, 1);
    Ok(())
}

fn a_closing_mptcp_connection_does_not_count_for_ever(executor: Executor) -> Result {
    let timeout = Delta::from_millis(500);
    let (server, record, addr) = start(roomy(executor).mptcp(true).close_timeout(timeout))?;
    let client = TcpStream::options()
        .mptcp(true)
        .receive_buffer_size(4 << 10)
        .connect(&namespace()?, addr)?;
    client.write_all(&KVVec::from_elem(b'x', 60_000, GFP_KERNEL)?)?;
    client.shutdown(Shutdown::Write)?;
    assert!(eventually(|| record.closed() == 1));
    assert!(eventually(|| server.statistics().open == 0));
    Ok(())
}

suites! {
    ktcp_ends_kthread, ktcp_ends_workqueue, ktcp_ends_event_loop, ktcp_ends_softirq, ktcp_ends_trying;
    an_idle_peer_with_output_left_is_reset,
    an_idle_peer_that_has_everything_sees_the_end,
    a_peer_that_reads_slowly_is_not_idle,
    a_closing_connection_is_one_of_those_there_may_be,
    a_closing_connection_that_does_not_go_on_is_reset,
    a_stop_waits_until_the_rest_is_acknowledged,
    pushed_data_that_is_not_sent_makes_the_end_a_reset,
    a_stop_without_drain_does_not_wait_for_what_a_slow_handler_leaves,
    what_is_pushed_until_the_end_arrives_before_it,
    a_closing_connection_is_reset_in_time_though_the_next_probe_is_late,
    a_closing_mptcp_connection_does_not_count_for_ever,
}
