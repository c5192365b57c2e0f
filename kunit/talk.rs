// SPDX-License-Identifier: GPL-2.0

//! Input that a handler is shown, and output that its peer gets, on every executor.

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
        pattern,
        read_to_end, //
    }, //
};
use kernel::{
    prelude::*,
    sync::atomic::Relaxed,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use ktcp_server::{
    net::Shutdown,
    BufferSize,
    CloseReason,
    Executor, //
};
fn echoes_every_size_around_the_buffer(executor: Executor) -> Result {
    const SIZE: usize = 2000;
    let size = BufferSize::of::<SIZE>();
    let (_server, _record, addr) = start(builder(executor).input_buffer(size).output_buffer(size))?;
    let client = connect(addr)?;
    for len in [1, 2, SIZE - 1, SIZE, SIZE + 1, 3 * SIZE, 1 << 20] {
        let data = pattern(len)?;
        assert!(exchange(&client, &data)?[..] == data[..]);
    }
    Ok(())
}

fn an_output_smaller_than_the_input_loses_nothing(executor: Executor) -> Result {
    let (_server, _record, addr) = start(
        builder(executor)
            .input_buffer(BufferSize::of::<1000>())
            .output_buffer(BufferSize::of::<7>()),
    )?;
    let data = pattern(2500)?;
    assert!(exchange(&connect(addr)?, &data)?[..] == data[..]);
    Ok(())
}

fn one_byte_buffers_work(executor: Executor) -> Result {
    let (_server, _record, addr) = start(
        builder(executor)
            .input_buffer(BufferSize::MIN)
            .output_buffer(BufferSize::MIN),
    )?;
    let data = pattern(300)?;
    assert!(exchange(&connect(addr)?, &data)?[..] == data[..]);
    Ok(())
}

fn a_short_message_has_no_tail_of_the_longer_one_before(executor: Executor) -> Result {
    let (_server, _record, addr) = start(builder(executor))?;
    let client = connect(addr)?;
    exchange(&client, &pattern(4000)?)?;
    assert!(exchange(&client, b"ab\0c")?[..] == b"ab\0c"[..]);
    client.shutdown(Shutdown::Write)?;
    assert!(read_to_end(&client, 100)?[..] == b"|"[..]);
    Ok(())
}

fn what_is_not_consumed_is_shown_again(executor: Executor) -> Result {
    let (_server, _record, addr) = start(builder(executor))?;
    let client = connect(addr)?;
    let first = Command::Line.byte();
    client.write_all(&[first, b'i'])?;
    fsleep(Delta::from_millis(20));
    assert_eq!(client.try_read(&mut [0; 8]), Err(EAGAIN));
    client.write_all(&[b'n', b'e', b'\n', first])?;
    let mut line = [0; 5];
    client.read_exact(&mut line)?;
    assert_eq!(line, [first, b'i', b'n', b'e', b'\n']);

    // Shown once more at the end of the stream.
    client.shutdown(Shutdown::Write)?;
    assert!(read_to_end(&client, 100)?[..] == [b'|', first]);
    Ok(())
}

/// Sends so much at once that it is received in pages; the handler still sees one slice.
fn a_handler_that_looks_at_much_sees_all_of_it(executor: Executor) -> Result {
    let (_server, _record, addr) = start(builder(executor))?;
    let client = connect(addr)?;
    for len in [100, 5_000, 20_000, 60_000] {
        let mut line = KVVec::from_elem(Command::Line.byte(), len, GFP_KERNEL)?;
        for (index, byte) in line.iter_mut().enumerate().skip(1) {
            *byte = b'a' + (index % 23) as u8;
        }
        line[len - 1] = b'\n';
        client.write_all(&line)?;
        let mut answer = KVVec::from_elem(0, len, GFP_KERNEL)?;
        client.read_exact(&mut answer)?;
        assert!(answer[..] == line[..]);
    }
    Ok(())
}

fn the_end_is_told_until_all_is_said(executor: Executor) -> Result {
    let (_server, record, addr) = start(
        builder(executor)
            .input_buffer(BufferSize::of::<100>())
            .output_buffer(BufferSize::of::<8>()),
    )?;
    let client = connect(addr)?;
    let mut line = *b"- left behind, and longer than the output";
    line[0] = Command::Line.byte();
    client.write_all(&line)?;
    client.shutdown(Shutdown::Write)?;
    // Each call of `end` begins with a bar, as far as there is room.
    let answer = read_to_end(&client, 1000)?;
    let said = answer.iter().filter(|&&byte| byte != b'|');
    assert!(said.eq(&line));
    assert!(eventually(|| record.closed() == 1));
    assert_eq!(record.last_reason(), Some(CloseReason::Ended));
    Ok(())
}

fn an_endless_answer_lets_others_have_their_turn(executor: Executor) -> Result {
    let (_server, record, addr) = start(builder(executor))?;
    let greedy = connect(addr)?;
    greedy.write_all(&Command::Flood.message())?;
    let other = connect(addr)?;
    let mut block = KVVec::from_elem(0, 64 << 10, GFP_KERNEL)?;
    for _ in 0..50 {
        greedy.read_exact(&mut block)?;
        assert!(block.iter().all(|&byte| byte == b'g'));
        assert!(exchange(&other, b"hello")?[..] == b"hello"[..]);
    }
    drop(greedy);
    assert!(eventually(|| record.closed() == 1));
    Ok(())
}

fn an_input_that_cannot_grow_closes(executor: Executor) -> Result {
    let (_server, record, addr) = start(builder(executor).input_buffer(BufferSize::of::<64>()))?;
    let client = connect(addr)?;
    client.write_all(&[Command::Line.byte(); 64])?;
    assert!(read_to_end(&client, 100)?.is_empty());
    assert!(eventually(|| record.closed() == 1));
    assert_eq!(record.last_reason(), Some(CloseReason::InputFull));
    Ok(())
}

fn writing_beyond_the_room_takes_nothing(executor: Executor) -> Result {
    let (_server, _record, addr) = start(builder(executor))?;
    let client = connect(addr)?;
    client.write_all(&Command::Overfill.message())?;
    let mut word = [0; 2];
    client.read_exact(&mut word)?;
    assert_eq!(&word, b"no");
    Ok(())
}

fn close_flushes_first(executor: Executor) -> Result {
    let (_server, record, addr) = start(builder(executor))?;
    let client = connect(addr)?;
    client.write_all(&Command::Close.message())?;
    assert!(read_to_end(&client, 100)?[..] == b"bye"[..]);
    assert!(eventually(|| record.closed() == 1));
    assert_eq!(record.last_reason(), Some(CloseReason::Handler));
    Ok(())
}

fn a_peer_that_sends_on_gets_the_last_word(executor: Executor) -> Result {
    let (_server, record, addr) = start(builder(executor))?;
    let client = connect(addr)?;
    client.write_all(&Command::HalfClose.message())?;
    let mut last = [0; 4];
    client.read_exact(&mut last)?;
    assert_eq!(&last, b"last");
    // The end of the stream, and no reset, however much is sent.
    assert_eq!(client.read(&mut last)?, 0);
    client.write_all(&pattern(3 << 20)?)?;
    assert_eq!(record.closed(), 0);
    client.shutdown(Shutdown::Write)?;
    assert!(eventually(|| record.closed() == 1));
    assert_eq!(record.last_reason(), Some(CloseReason::Ended));
    Ok(())
}

fn reset_discards(executor: Executor) -> Result {
    let (_server, record, addr) = start(builder(executor))?;
    let client = connect(addr)?;
    client.write_all(&Command::Reset.message())?;
    assert_eq!(client.read(&mut [0; 16]), Err(ECONNRESET));
    assert!(eventually(|| record.closed() == 1));
    assert_eq!(record.last_reason(), Some(CloseReason::Handler));
    Ok(())
}

fn an_error_of_the_handler_flushes_and_closes(executor: Executor) -> Result {
    let (_server, record, addr) = start(builder(executor))?;
    let client = connect(addr)?;
    client.write_all(&Command::Fail.message())?;
    assert!(read_to_end(&client, 100)?[..] == b"sorry"[..]);
    assert!(eventually(|| record.closed() == 1));
    assert_eq!(record.last_reason(), Some(CloseReason::Failed(EPROTO)));
    Ok(())
}

fn a_reset_by_the_peer_is_told(executor: Executor) -> Result {
    let (_server, record, addr) = start(builder(executor))?;
    let client = connect(addr)?;
    exchange(&client, b"hello")?;
    client.abort();
    assert!(eventually(|| record.closed() == 1));
    assert_eq!(record.last_reason(), Some(CloseReason::Broken(ECONNRESET)));
    Ok(())
}

fn a_refused_peer_is_reset_and_has_no_session(executor: Executor) -> Result {
    let (_server, record, addr) = start(builder(executor))?;
    record.opened.store(-1, Relaxed);
    // The reset may come before `connect` has returned.
    let read = connect(addr).and_then(|client| client.read(&mut [0; 4]));
    assert_eq!(read, Err(ECONNRESET));
    assert_eq!(record.closed(), 0);
    assert_eq!(record.sessions_dropped.load(Relaxed), 0);
    // The next client is served.
    exchange(&connect(addr)?, b"hello")?;
    Ok(())
}

fn a_closed_connection_is_released_at_once(executor: Executor) -> Result {
    let (_server, record, addr) = start(builder(executor))?;
    for count in 1..=20 {
        let client = connect(addr)?;
        exchange(&client, b"hello")?;
        drop(client);
        assert!(eventually(|| record.sessions_dropped.load(Relaxed) == count));
    }
    assert_eq!(record.last_reason(), Some(CloseReason::Ended));
    Ok(())
}

suites! {
    ktcp_talk_kthread, ktcp_talk_workqueue, ktcp_talk_event_loop, ktcp_talk_softirq,
    ktcp_talk_trying;
    echoes_every_size_around_the_buffer,
    an_output_smaller_than_the_input_loses_nothing,
    one_byte_buffers_work,
    a_short_message_has_no_tail_of_the_longer_one_before,
    what_is_not_consumed_is_shown_again,
    a_handler_that_looks_at_much_sees_all_of_it,
    the_end_is_told_until_all_is_said,
    an_endless_answer_lets_others_have_their_turn,
    an_input_that_cannot_grow_closes,
    writing_beyond_the_room_takes_nothing,
    close_flushes_first,
    a_peer_that_sends_on_gets_the_last_word,
    reset_discards,
    an_error_of_the_handler_flushes_and_closes,
    a_reset_by_the_peer_is_told,
    a_refused_peer_is_reset_and_has_no_session,
    a_closed_connection_is_released_at_once,
}

#[kunit_tests(ktcp_trying)]
mod on_trying_only {
    use super::*;
    use crate::probe::trying;

    #[test]
    fn both_ways_are_gone() -> Result {
        trying(|| {
            let (_server, record, addr) = start(builder(Executor::EventLoop))?;
            let client = connect(addr)?;
            for len in 1..=100 {
                let data = pattern(len)?;
                assert!(exchange(&client, &data)?[..] == data[..]);
            }
            let (tried, left) = (record.tried.load(Relaxed), record.left.load(Relaxed));
            // Bytes that arrive before the session is open go to `receive` without a try.
            assert!(tried >= 50);
            assert!(left >= tried / 3 - 1 && left < tried);
            Ok(())
        })
    }

    #[test]
    fn what_sleeps_is_left() -> Result {
        trying(|| {
            let (_server, record, addr) = start(builder(Executor::EventLoop))?;
            let client = connect(addr)?;
            // Bytes that arrive before the session is open go to `receive` without a try.
            assert!(eventually(|| {
                exchange(&client, &Command::EMPTY_LINE).is_ok() && record.tried.load(Relaxed) > 0
            }));
            record.wake.store(true, Relaxed);
            let sleep = Command::Sleep.message();
            assert!(exchange(&client, &sleep)?[..] == sleep);
            assert_eq!(record.left.load(Relaxed), 1);
            Ok(())
        })
    }

    #[test]
    fn other_executors_do_not_try() -> Result {
        trying(|| {
            for executor in [Executor::Kthread, Executor::Workqueue] {
                let (_server, record, addr) = start(builder(executor))?;
                let client = connect(addr)?;
                for _ in 0..10 {
                    assert!(exchange(&client, b"hello")?[..] == b"hello"[..]);
                }
                assert_eq!(record.tried.load(Relaxed), 0);
            }
            Ok(())
        })
    }
}
