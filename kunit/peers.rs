// SPDX-License-Identifier: GPL-2.0

//! Misbehaving peers: each is closed for its reason, is counted, and disturbs no other.

use crate::{
    command::Command,
    probe::{
        builder,
        eventually,
        start, //
    },
    support::{
        at_pace,
        connect,
        exchange,
        read_to_end, //
    }, //
};
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
    error::ECONNRESET,
    net::{
        Shutdown,
        TcpStream, //
    },
    CloseReason,
    Executor, //
};

/// Returns true if a bystander is still served.
fn is_undisturbed(client: &TcpStream) -> bool {
    exchange(client, b"hello").is_ok_and(|answer| answer[..] == *b"hello")
}

fn one_that_never_says_anything_is_closed_as_idle(executor: Executor) -> Result {
    at_pace(150, |pace| {
        let timeout = Delta::from_millis(300);
        let (server, record, addr) = start(builder(executor).idle_timeout(timeout))?;
        let (bystander, silent) = (connect(addr)?, connect(addr)?);
        let begin = Instant::<Monotonic>::now();
        while record.closed() == 0 && begin.elapsed().as_millis() < 5000 {
            assert!(is_undisturbed(&bystander));
            pace.beat();
            fsleep(Delta::from_millis(20));
        }
        assert_eq!(silent.read(&mut [0; 4])?, 0);
        assert_eq!(record.last_reason(), Some(CloseReason::Idle));
        // The peer may see the end before it is counted.
        assert!(eventually(|| server.statistics().open == 1));
        assert_eq!(server.statistics().closed_idle, 1);
        Ok(())
    })
}

fn one_that_sends_a_byte_now_and_then_is_served(executor: Executor) -> Result {
    // Without a timeout for messages: each byte is one, and each has its answer.
    at_pace(250, |pace| {
        let timeout = Delta::from_millis(500);
        let (server, _record, addr) = start(builder(executor).idle_timeout(timeout))?;
        let (bystander, slow) = (connect(addr)?, connect(addr)?);
        for byte in 0..20u8 {
            assert!(exchange(&slow, &[byte])?[..] == [byte]);
            assert!(is_undisturbed(&bystander));
            pace.beat();
            fsleep(Delta::from_millis(50));
        }
        // Longer than the timeout: a connection that moves bytes is not idle.
        assert_eq!(server.statistics().closed_idle, 0);
        Ok(())
    })
}

fn one_that_half_closes_gets_its_answer_and_the_end(executor: Executor) -> Result {
    let (server, record, addr) = start(builder(executor))?;
    let (bystander, client) = (connect(addr)?, connect(addr)?);
    client.write_all(b"last words")?;
    client.shutdown(Shutdown::Write)?;
    assert!(read_to_end(&client, 100)?[..] == b"last words|"[..]);
    assert!(eventually(|| record.closed() == 1));
    assert_eq!(record.last_reason(), Some(CloseReason::Ended));
    assert!(eventually(|| server.statistics().closed_by_peer == 1));
    assert!(is_undisturbed(&bystander));
    Ok(())
}

fn those_that_reset_are_counted(executor: Executor) -> Result {
    const COUNT: usize = 20;
    let (server, record, addr) = start(builder(executor))?;
    let bystander = connect(addr)?;
    assert!(is_undisturbed(&bystander));
    for count in 1..=COUNT {
        let client = connect(addr)?;
        assert!(eventually(
            || server.statistics().accepted as usize == 1 + count
        ));
        // With nothing said; with something on the way; after an answer.
        match count % 3 {
            0 => {}
            1 => client.write_all(&[0; 4000])?,
            _ => assert!(is_undisturbed(&client)),
        }
        client.abort();
        assert!(is_undisturbed(&bystander));
        assert!(eventually(|| record.closed() == count));
        let reason = record.last_reason();
        assert!(matches!(
            reason,
            Some(CloseReason::Broken(ECONNRESET | EPIPE))
        ));
    }
    assert!(eventually(
        || server.statistics().closed_broken as usize == COUNT
    ));

    // A connection that is reset before it is accepted may never be seen.
    for _ in 0..COUNT {
        connect(addr)?.abort();
        assert!(is_undisturbed(&bystander));
    }
    assert!(eventually(|| {
        let statistics = server.statistics();
        statistics.open == 1 && statistics.accepted == 1 + statistics.closed_broken
    }));
    Ok(())
}

fn one_that_sends_two_gibibytes_is_received_from(executor: Executor) -> Result {
    const BLOCK: usize = 1 << 20;
    // As a module it runs on a debug kernel, where so much takes minutes: less is enough for the
    // mistakes that only that kernel finds.
    const BLOCKS: usize = if cfg!(MODULE) { 32 } else { 2 << 10 };
    let (server, record, addr) = start(builder(executor))?;
    let (bystander, client) = (connect(addr)?, connect(addr)?);
    let mut block = KVVec::from_elem(0u8, BLOCK, GFP_KERNEL)?;
    client.write_all(&Command::Deaf.message())?;
    let begin = Instant::<Monotonic>::now();
    for count in 0..BLOCKS {
        client.write_all(&block)?;
        if count % 128 == 0 {
            assert!(is_undisturbed(&bystander));
        }
    }
    client.shutdown(Shutdown::Write)?;
    block.truncate(100);
    let end = client.read(&mut block)?;
    assert_eq!(&block[..end], b"|");
    let millis = begin.elapsed().as_millis().max(1);
    pr_info!("{BLOCKS} MiB in {millis} ms\n");
    assert!(eventually(|| record.closed() == 1));
    // More bytes than a signed number of 32 bits can count.
    let said = 1 + BLOCKS as u64 * BLOCK as u64;
    let bystanders = 5 * (BLOCKS as u64).div_ceil(128);
    assert!(eventually(
        || server.statistics().bytes_in == said + bystanders
    ));
    assert_eq!(record.last_reason(), Some(CloseReason::Ended));
    Ok(())
}

suites! {
    ktcp_peers_kthread, ktcp_peers_workqueue, ktcp_peers_event_loop;
    one_that_never_says_anything_is_closed_as_idle,
    one_that_sends_a_byte_now_and_then_is_served,
    one_that_half_closes_gets_its_answer_and_the_end,
    those_that_reset_are_counted,
    one_that_sends_two_gibibytes_is_received_from,
}
