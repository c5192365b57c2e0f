// SPDX-License-Identifier: GPL-2.0

//! Sending from outside of the handler, on every executor.

use crate::{
    fault,
    probe::{
        builder,
        eventually,
        fill,
        start,
        Record, //
    },
    support::{
        connect,
        exchange,
        without_softirqs, //
    },
    THIS_MODULE, //
};
use core::net::SocketAddr;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    }, //
};
use ktcp_server::{
    error::{
        ENOBUFS,
        ENOTCONN, //
    },
    kthread,
    net::TcpStream,
    BufferSize,
    Executor,
    Sender, //
};

/// A client with an open connection, and a sender to it.
fn client(record: &Record, addr: SocketAddr) -> Result<(TcpStream, Sender)> {
    let before = record.senders.with(|senders| senders.len());
    let client = connect(addr)?;
    assert!(eventually(
        || record.senders.with(|senders| senders.len()) > before
    ));
    let sender = record.senders.with(|senders| senders.last().cloned());
    Ok((client, sender.ok_or(ENOTCONN)?))
}

fn what_is_pushed_arrives_in_order(executor: Executor) -> Result {
    let (_server, record, addr) = start(builder(executor))?;
    let (client, sender) = client(&record, addr)?;
    assert_eq!(sender.peer_addr(), client.local_addr()?);

    // To a peer that has sent nothing, and to one that sends meanwhile.
    sender.send(b"news ")?;
    sender.send(b"")?;
    sender.send(b"travels ")?;
    sender.send(b"fast")?;
    let mut news = [0; 17];
    client.read_exact(&mut news)?;
    assert_eq!(&news, b"news travels fast");
    for round in 0..100u8 {
        assert!(exchange(&client, b"hello")?[..] == b"hello"[..]);
        sender.send(&[round; 3])?;
        let mut pushed = [0; 3];
        client.read_exact(&mut pushed)?;
        assert_eq!(pushed, [round; 3]);
    }
    Ok(())
}

fn what_does_not_fit_is_refused_whole(executor: Executor) -> Result {
    const SIZE: usize = 512;
    let (_server, record, addr) = start(builder(executor).output_buffer(BufferSize::of::<SIZE>()))?;
    let (client, sender) = client(&record, addr)?;
    assert_eq!(sender.send(&[1; SIZE + 1]), Err(ENOBUFS));
    sender.send(&[2; SIZE])?;
    let mut pushed = [0; SIZE];
    client.read_exact(&mut pushed)?;
    assert_eq!(pushed, [2; SIZE]);

    // The peer does not read: once the buffers are full, the pusher gets an error at once.
    fill(&client)?;
    let mut taken = 0;
    let refused = loop {
        match sender.send(&[3; 64]) {
            Ok(()) if taken < 4 * SIZE => taken += 64,
            result => break result,
        }
    };
    // The inbox may have moved to the output once, which makes room for a second time.
    assert!(taken <= 2 * SIZE);
    assert_eq!(refused, Err(ENOBUFS));
    Ok(())
}

fn after_the_end_there_is_nobody_to_send_to(executor: Executor) -> Result {
    let sockets = fault::sockets();
    let (server, record, addr) = start(builder(executor))?;
    let (gone, to_gone) = client(&record, addr)?;
    let (client, sender) = client(&record, addr)?;
    drop(gone);
    assert!(eventually(|| to_gone.send(b"x") == Err(ENOTCONN)));
    sender.send(b"x")?;

    drop(server);
    assert_eq!(record.handlers_dropped.load(Relaxed), 1);
    assert_eq!(sender.send(b"x"), Err(ENOTCONN));
    assert_eq!(to_gone.clone().send(b"x"), Err(ENOTCONN));

    // The data that a sender keeps alive holds no socket.
    drop(client);
    assert!(eventually(|| fault::sockets() <= sockets));
    Ok(())
}

fn a_sender_may_be_dropped_where_nobody_may_sleep(executor: Executor) -> Result {
    let (server, record, addr) = start(builder(executor))?;
    let (client, sender) = client(&record, addr)?;
    without_softirqs(|| {
        assert_eq!(sender.send(b"x"), Err(EBUSY));
        Ok(())
    })?;
    drop((client, server));
    assert_eq!(record.handlers_dropped.load(Relaxed), 1);
    drop(record);
    // The last reference on the data that the server's tasks have shared, its queue or pollers included.
    without_softirqs(|| drop(sender));
    Ok(())
}

fn many_may_push_at_once(executor: Executor) -> Result {
    const PUSHERS: u8 = 8;
    const MESSAGES: u8 = 100;
    let (_server, record, addr) = start(builder(executor).output_buffer(BufferSize::of::<256>()))?;
    let (client, sender) = client(&record, addr)?;
    let failed = Arc::new(Atomic::new(0), GFP_KERNEL)?;
    for id in 0..PUSHERS {
        let (sender, failed) = (sender.clone(), failed.clone());
        kernel::workqueue::system_long().try_spawn(GFP_KERNEL, move || {
            for number in 0..MESSAGES {
                // Room comes as the peer reads.
                let sent = eventually(|| sender.send(&[id, number, id, number]).is_ok());
                failed.fetch_add((!sent).into(), Full);
            }
        })?;
    }

    // Messages arrive whole, and those of each pusher in order.
    let mut next = [0; PUSHERS as usize];
    for count in 0..usize::from(PUSHERS) * usize::from(MESSAGES) {
        let mut message = [0; 4];
        client.read_exact(&mut message)?;
        let [id, number, ..] = message;
        assert_eq!(message, [id, number, id, number]);
        let expected = next.get_mut(usize::from(id)).ok_or(EINVAL)?;
        assert_eq!(number, *expected);
        *expected += 1;
        if count % 100 == 0 {
            fsleep(Delta::from_millis(5));
        }
    }
    assert_eq!(next, [MESSAGES; PUSHERS as usize]);
    assert_eq!(failed.load(Relaxed), 0);
    Ok(())
}

fn a_tireless_sender_does_not_delay_the_stop(executor: Executor) -> Result {
    let (server, record, addr) = start(builder(executor))?;
    let (client, sender) = client(&record, addr)?;
    // The pusher sends small pieces without a pause, so each poll finds more to send; the peer reads as
    // fast as it can.
    let pusher = kthread::spawn(&THIS_MODULE, c"ktcp-pusher", move |_| loop {
        match sender.send(&[7; 16]) {
            Ok(()) => {}
            // The peer has to read first.
            Err(ENOBUFS) => fsleep(Delta::from_micros(10)),
            Err(error) => return error,
        }
    })?;
    let reader = kthread::spawn(&THIS_MODULE, c"ktcp-reader", move |_| {
        let mut block = KVVec::from_elem(0u8, 256 << 10, GFP_KERNEL)?;
        let mut total = 0;
        while let Ok(count @ 1..) = client.read(&mut block) {
            if block[..count].iter().any(|&byte| byte != 7) {
                return Err(EIO);
            }
            total += count;
        }
        Ok::<_, Error>(total)
    })?;
    assert!(eventually(|| server.statistics().bytes_out > 64 << 10));

    let begin = Instant::<Monotonic>::now();
    server.shutdown(Delta::from_millis(300));
    assert!(begin.elapsed().as_millis() < 10_000);
    assert_eq!(record.handlers_dropped.load(Relaxed), 1);
    assert_eq!(pusher.join()?, ENOTCONN);
    assert!(reader.join()?? > 64 << 10);
    Ok(())
}

suites! {
    ktcp_push_kthread, ktcp_push_workqueue, ktcp_push_event_loop, ktcp_push_softirq,
    ktcp_push_trying;
    what_is_pushed_arrives_in_order,
    what_does_not_fit_is_refused_whole,
    after_the_end_there_is_nobody_to_send_to,
    a_sender_may_be_dropped_where_nobody_may_sleep,
    many_may_push_at_once,
    a_tireless_sender_does_not_delay_the_stop,
}
