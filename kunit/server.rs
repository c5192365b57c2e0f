// SPDX-License-Identifier: GPL-2.0

//! Whole servers, from `start` to `drop`.

use core::net::SocketAddr;
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex, //
    }, //
};
use ktcp_server::{
    BufferSize,
    CloseReason,
    Executor,
    Handler,
    Input,
    KernelTcpServer,
    Next,
    Output,
    Peer, //
};

/// What a [`Probe`] has seen.
#[pin_data]
struct Record {
    opened: Atomic<i32>,
    handlers_dropped: Atomic<i32>,
    sessions_dropped: Atomic<i32>,
    #[pin]
    reasons: Mutex<KVec<CloseReason>>,
    /// A server for the handler to drop.
    #[pin]
    victim: Mutex<Option<KernelTcpServer>>,
}

impl Record {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                opened: Atomic::new(0),
                handlers_dropped: Atomic::new(0),
                sessions_dropped: Atomic::new(0),
                reasons <- new_mutex!(KVec::new()),
                victim <- new_mutex!(None),
            }),
            GFP_KERNEL,
        )
    }

    fn opened(&self) -> i32 {
        self.opened.load(Relaxed)
    }

    fn closed(&self) -> usize {
        self.reasons.lock().len()
    }

    fn last_reason(&self) -> Option<CloseReason> {
        self.reasons.lock().last().copied()
    }
}

/// A handler that does what the first byte of a message says, and keeps a record. Once that byte
/// has said nothing, the session is a plain echo.
struct Probe {
    record: Arc<Record>,
}

struct Session {
    record: Arc<Record>,
    echo: bool,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.record.sessions_dropped.fetch_add(1, Relaxed);
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.record.handlers_dropped.fetch_add(1, Relaxed);
    }
}

impl Handler for Probe {
    type Session = Session;

    fn open(&self, _peer: &Peer<'_>) -> Result<Session> {
        let before = self.record.opened.fetch_add(1, Relaxed);
        // The record of a test that wants a refusal starts below zero.
        if before < 0 {
            return Err(EPERM);
        }
        Ok(Session {
            record: self.record.clone(),
            echo: false,
        })
    }

    fn receive(
        &self,
        session: &mut Session,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Next> {
        match input.first().filter(|_| !session.echo) {
            // Wait for a whole line.
            Some(b'L') => {
                if let Some(end) = input.iter().position(|&byte| byte == b'\n') {
                    output.write(&input[..=end])?;
                    input.consume(end + 1);
                }
                Ok(Next::Receive)
            }
            Some(b'C') => {
                output.write(b"bye")?;
                Ok(Next::Close)
            }
            Some(b'R') => {
                output.write(b"never seen")?;
                Ok(Next::Reset)
            }
            Some(b'E') => {
                output.write(b"sorry")?;
                Err(EPROTO)
            }
            // Greedy: talk for ever.
            Some(b'G') => {
                while output.write(&[b'g'; 1000]).is_ok() {}
                Ok(Next::Receive)
            }
            // Drop a server, perhaps one's own.
            Some(b'D') => {
                let victim = self.record.victim.lock().take();
                drop(victim);
                output.forward(input);
                Ok(Next::Receive)
            }
            // More than the output can ever hold.
            Some(b'W') => {
                let count = input.len();
                let room = output.room();
                let long = KVVec::from_elem(0, room + 1, GFP_KERNEL)?;
                let refused = output.write(&long);
                input.consume(count);
                output.write(if refused == Err(ENOBUFS) {
                    b"no"
                } else {
                    b"??"
                })?;
                Ok(Next::Receive)
            }
            _ => {
                session.echo = true;
                output.forward(input);
                Ok(Next::Receive)
            }
        }
    }

    fn end(
        &self,
        _session: &mut Session,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result {
        output.write(b"|")?;
        output.forward(input);
        Ok(())
    }

    fn close(&self, _session: Session, reason: CloseReason) {
        let _ = self.record.reasons.lock().push(reason, GFP_KERNEL);
    }
}

/// What is to hold on every executor.
mod cases {
    use super::*;
    use crate::{
        support::{
            any_port,
            connect,
            exchange,
            namespace,
            pattern,
            read_to_end, //
        },
        THIS_MODULE, //
    };
    use kernel::time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    };
    use ktcp_server::{
        net::{
            Shutdown,
            TcpListener,
            TcpStream, //
        },
        BufferSize,
        Builder,
        KernelTcpServer, //
    };

    // Outside of a suite these would bring the kernel down.
    macro_rules! assert {
        ($condition:expr) => {
            kernel::kunit_assert!("case", c"kunit/server.rs", 0, $condition)
        };
    }

    macro_rules! assert_eq {
        ($left:expr, $right:expr) => {
            kernel::kunit_assert_eq!("case", c"kunit/server.rs", 0, $left, $right)
        };
    }

    fn builder(executor: Executor) -> Builder {
        KernelTcpServer::builder(c"probe")
            .executor(executor)
            .drain(Delta::from_millis(200))
    }

    /// A server with a [`Probe`], its record, and its address.
    fn start(builder: Builder) -> Result<(KernelTcpServer, Arc<Record>, SocketAddr)> {
        namespace()?;
        let record = Record::new()?;
        let server = builder.start(
            &THIS_MODULE,
            Probe {
                record: record.clone(),
            },
        )?;
        let addr = server.local_addr();
        Ok((server, record, addr))
    }

    /// Sends and does not read, until the server is stuck in sending and takes no more.
    fn fill(client: &TcpStream) -> Result {
        let block = pattern(64 << 10)?;
        client.set_write_timeout(Some(Delta::from_millis(100)))?;
        let mut refused = 0;
        while refused < 5 {
            match client.write(&block) {
                Ok(_) => refused = 0,
                Err(ETIMEDOUT) => refused += 1,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Waits, five seconds at most, until `condition` holds.
    fn eventually(condition: impl Fn() -> bool) -> bool {
        for _ in 0..500 {
            if condition() {
                return true;
            }
            fsleep(Delta::from_millis(10));
        }
        condition()
    }

    pub(super) fn echoes_every_size_around_the_buffer(executor: Executor) -> Result {
        const SIZE: usize = 512;
        let size = BufferSize::of::<SIZE>();
        let (_server, _record, addr) =
            start(builder(executor).input_buffer(size).output_buffer(size))?;
        let client = connect(addr)?;
        for len in [1, 2, SIZE - 1, SIZE, SIZE + 1, 3 * SIZE, 1 << 20] {
            let data = pattern(len)?;
            assert!(exchange(&client, &data)?[..] == data[..]);
        }
        Ok(())
    }

    pub(super) fn an_output_smaller_than_the_input_loses_nothing(executor: Executor) -> Result {
        let (_server, _record, addr) = start(
            builder(executor)
                .input_buffer(BufferSize::of::<1000>())
                .output_buffer(BufferSize::of::<7>()),
        )?;
        let data = pattern(5000)?;
        assert!(exchange(&connect(addr)?, &data)?[..] == data[..]);
        Ok(())
    }

    pub(super) fn one_byte_buffers_work(executor: Executor) -> Result {
        let (_server, _record, addr) = start(
            builder(executor)
                .input_buffer(BufferSize::MIN)
                .output_buffer(BufferSize::MIN),
        )?;
        let data = pattern(300)?;
        assert!(exchange(&connect(addr)?, &data)?[..] == data[..]);
        Ok(())
    }

    pub(super) fn a_short_message_has_no_tail_of_the_longer_one_before(
        executor: Executor,
    ) -> Result {
        let (_server, _record, addr) = start(builder(executor))?;
        let client = connect(addr)?;
        exchange(&client, &pattern(4000)?)?;
        assert!(exchange(&client, b"ab\0c")?[..] == b"ab\0c"[..]);
        client.shutdown(Shutdown::Write)?;
        assert!(read_to_end(&client, 100)?[..] == b"|"[..]);
        Ok(())
    }

    pub(super) fn what_is_not_consumed_is_shown_again(executor: Executor) -> Result {
        let (_server, _record, addr) = start(builder(executor))?;
        let client = connect(addr)?;
        client.write_all(b"Li")?;
        fsleep(Delta::from_millis(20));
        assert_eq!(client.try_read(&mut [0; 8]), Err(EAGAIN));
        client.write_all(b"ne\nL")?;
        let mut line = [0; 5];
        client.read_exact(&mut line)?;
        assert_eq!(&line, b"Line\n");

        // And at the end of the stream, once more.
        client.shutdown(Shutdown::Write)?;
        assert!(read_to_end(&client, 100)?[..] == b"|L"[..]);
        Ok(())
    }

    pub(super) fn an_input_that_cannot_grow_closes(executor: Executor) -> Result {
        let (_server, record, addr) =
            start(builder(executor).input_buffer(BufferSize::of::<64>()))?;
        let client = connect(addr)?;
        client.write_all(&[b'L'; 64])?;
        assert!(read_to_end(&client, 100)?.is_empty());
        assert!(eventually(|| record.closed() == 1));
        assert_eq!(record.last_reason(), Some(CloseReason::InputFull));
        Ok(())
    }

    pub(super) fn the_end_is_told_until_all_is_said(executor: Executor) -> Result {
        let (_server, record, addr) = start(
            builder(executor)
                .input_buffer(BufferSize::of::<100>())
                .output_buffer(BufferSize::of::<8>()),
        )?;
        let client = connect(addr)?;
        let line = *b"Left behind, and longer than the output";
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

    pub(super) fn an_endless_answer_lets_others_have_their_turn(executor: Executor) -> Result {
        let (_server, record, addr) = start(builder(executor))?;
        let greedy = connect(addr)?;
        greedy.write_all(b"G")?;
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

    pub(super) fn writing_beyond_the_room_takes_nothing(executor: Executor) -> Result {
        let (_server, _record, addr) = start(builder(executor))?;
        let client = connect(addr)?;
        client.write_all(b"W")?;
        let mut word = [0; 2];
        client.read_exact(&mut word)?;
        assert_eq!(&word, b"no");
        Ok(())
    }

    pub(super) fn close_flushes_first(executor: Executor) -> Result {
        let (_server, record, addr) = start(builder(executor))?;
        let client = connect(addr)?;
        client.write_all(b"C")?;
        assert!(read_to_end(&client, 100)?[..] == b"bye"[..]);
        assert!(eventually(|| record.closed() == 1));
        assert_eq!(record.last_reason(), Some(CloseReason::Handler));
        Ok(())
    }

    pub(super) fn reset_discards(executor: Executor) -> Result {
        let (_server, record, addr) = start(builder(executor))?;
        let client = connect(addr)?;
        client.write_all(b"R")?;
        assert_eq!(client.read(&mut [0; 16]), Err(ECONNRESET));
        assert!(eventually(|| record.closed() == 1));
        assert_eq!(record.last_reason(), Some(CloseReason::Handler));
        Ok(())
    }

    pub(super) fn an_error_of_the_handler_flushes_and_closes(executor: Executor) -> Result {
        let (_server, record, addr) = start(builder(executor))?;
        let client = connect(addr)?;
        client.write_all(b"E")?;
        assert!(read_to_end(&client, 100)?[..] == b"sorry"[..]);
        assert!(eventually(|| record.closed() == 1));
        assert_eq!(record.last_reason(), Some(CloseReason::Failed(EPROTO)));
        Ok(())
    }

    pub(super) fn a_reset_by_the_peer_is_told(executor: Executor) -> Result {
        let (_server, record, addr) = start(builder(executor))?;
        let client = connect(addr)?;
        exchange(&client, b"hello")?;
        client.abort();
        assert!(eventually(|| record.closed() == 1));
        assert_eq!(record.last_reason(), Some(CloseReason::Broken(ECONNRESET)));
        Ok(())
    }

    pub(super) fn a_refused_peer_is_reset_and_has_no_session(executor: Executor) -> Result {
        let (_server, record, addr) = start(builder(executor))?;
        record.opened.store(-1, Relaxed);
        let client = connect(addr)?;
        assert_eq!(client.read(&mut [0; 4]), Err(ECONNRESET));
        assert_eq!(record.closed(), 0);
        assert_eq!(record.sessions_dropped.load(Relaxed), 0);
        // The next is served.
        exchange(&connect(addr)?, b"hello")?;
        Ok(())
    }

    pub(super) fn a_closed_connection_is_released_at_once(executor: Executor) -> Result {
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

    pub(super) fn dropping_ends_idle_connections_and_the_handler(executor: Executor) -> Result {
        let (server, record, addr) = start(builder(executor).drain(Delta::from_secs(60)))?;
        let mut clients = KVec::new();
        for _ in 0..50 {
            clients.push(connect(addr)?, GFP_KERNEL)?;
        }
        assert!(eventually(|| record.opened() == 50));

        let begin = Instant::<Monotonic>::now();
        drop(server);
        // Nobody has to be waited for.
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

    pub(super) fn a_client_that_never_reads_delays_the_stop_until_the_deadline(
        executor: Executor,
    ) -> Result {
        // More than the socket still takes when it has stopped to tell that it takes some.
        let size = BufferSize::of::<{ 8 << 20 }>();
        let (server, record, addr) = start(
            builder(executor)
                .drain(Delta::from_secs(60))
                .input_buffer(size)
                .output_buffer(size),
        )?;
        let client = connect(addr)?;
        fill(&client)?;

        let begin = Instant::<Monotonic>::now();
        server.shutdown(Delta::from_millis(300));
        let millis = begin.elapsed().as_millis();
        assert!((250..10_000).contains(&millis));
        assert_eq!(record.closed(), 1);
        assert_eq!(record.handlers_dropped.load(Relaxed), 1);
        Ok(())
    }

    pub(super) fn the_port_is_free_for_the_next_server_at_once(executor: Executor) -> Result {
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

    pub(super) fn a_start_that_fails_leaves_nothing(executor: Executor) -> Result {
        let other = TcpListener::bind(&namespace()?, any_port())?;
        let record = Record::new()?;
        let server = builder(executor).listen(other.local_addr()?).start(
            &THIS_MODULE,
            Probe {
                record: record.clone(),
            },
        );
        assert_eq!(server.err(), Some(EADDRINUSE));
        assert_eq!(record.handlers_dropped.load(Relaxed), 1);

        let drain = builder(executor).drain(Delta::from_millis(-1));
        assert_eq!(start(drain).err(), Some(EINVAL));
        Ok(())
    }

    pub(super) fn servers_do_not_disturb_each_other(executor: Executor) -> Result {
        let (one, _, first) = start(builder(executor))?;
        let (_two, _, second) = start(builder(executor))?;
        let client = connect(second)?;
        exchange(&client, b"hello")?;
        drop(one);
        assert_eq!(connect(first).err(), Some(ECONNREFUSED));
        exchange(&client, b"still here")?;
        Ok(())
    }

    pub(super) fn a_handler_may_drop_its_own_server(executor: Executor) -> Result {
        let (server, record, addr) = start(builder(executor))?;
        *record.victim.lock() = Some(server);
        let (client, other) = (connect(addr)?, connect(addr)?);
        exchange(&other, b"hello")?;
        client.write_all(b"D")?;
        // What it answers is still sent, and everybody's connection ends.
        assert!(read_to_end(&client, 100)?[..] == b"D"[..]);
        assert_eq!(other.read(&mut [0; 4])?, 0);
        assert!(eventually(|| record.handlers_dropped.load(Relaxed) == 1));
        assert_eq!(record.closed(), 2);
        assert_eq!(connect(addr).err(), Some(ECONNREFUSED));
        Ok(())
    }

    pub(super) fn a_handler_may_drop_another_server(executor: Executor) -> Result {
        let (_server, record, addr) = start(builder(executor))?;
        let (victim, its_record, its_addr) = start(builder(executor))?;
        *record.victim.lock() = Some(victim);
        assert!(exchange(&connect(addr)?, b"D")?[..] == b"D"[..]);
        assert_eq!(its_record.handlers_dropped.load(Relaxed), 1);
        assert_eq!(connect(its_addr).err(), Some(ECONNREFUSED));
        Ok(())
    }
}

macro_rules! suites {
    ($($case:ident,)*) => {
        suites! { @one ktcp_kthread kthread Kthread $($case)* }
        suites! { @one ktcp_workqueue workqueue Workqueue $($case)* }
        suites! { @one ktcp_event_loop event_loop EventLoop $($case)* }
    };
    (@one $suite:ident $module:ident $executor:ident $($case:ident)*) => {
        #[kunit_tests($suite)]
        mod $module {
            use super::*;

            $(
                #[test]
                fn $case() -> Result {
                    cases::$case(Executor::$executor)
                }
            )*
        }
    };
}

suites! {
    echoes_every_size_around_the_buffer,
    an_output_smaller_than_the_input_loses_nothing,
    one_byte_buffers_work,
    a_short_message_has_no_tail_of_the_longer_one_before,
    what_is_not_consumed_is_shown_again,
    the_end_is_told_until_all_is_said,
    an_endless_answer_lets_others_have_their_turn,
    an_input_that_cannot_grow_closes,
    writing_beyond_the_room_takes_nothing,
    close_flushes_first,
    reset_discards,
    an_error_of_the_handler_flushes_and_closes,
    a_reset_by_the_peer_is_told,
    a_refused_peer_is_reset_and_has_no_session,
    a_closed_connection_is_released_at_once,
    dropping_ends_idle_connections_and_the_handler,
    a_client_that_never_reads_delays_the_stop_until_the_deadline,
    the_port_is_free_for_the_next_server_at_once,
    a_start_that_fails_leaves_nothing,
    servers_do_not_disturb_each_other,
    a_handler_may_drop_its_own_server,
    a_handler_may_drop_another_server,
}

#[kunit_tests(ktcp_server)]
mod tests {
    use super::*;

    #[test]
    fn buffer_sizes_are_checked() {
        assert!(BufferSize::new(0) == Err(EINVAL));
        assert!(BufferSize::new((16 << 20) + 1) == Err(EINVAL));
        assert!(BufferSize::new(usize::MAX) == Err(EINVAL));
        assert!(BufferSize::new(1) == Ok(BufferSize::MIN));
        assert!(BufferSize::new(16 << 20) == Ok(BufferSize::MAX));
    }
}
