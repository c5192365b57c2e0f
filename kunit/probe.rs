// SPDX-License-Identifier: GPL-2.0

//! A handler that carries out commands and records its calls, and servers with it.

use crate::{
    command::Command,
    fault,
    support::{
        namespace,
        pattern,
        Locked, //
    },
    THIS_MODULE, //
};
use core::net::SocketAddr;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use ktcp_server::{
    net::TcpStream,
    Builder,
    CloseReason,
    Executor,
    Handler,
    Input,
    KernelTcpServer,
    Next,
    Output,
    Peer,
    Sender, //
};

/// The record that a [`Probe`] keeps of its calls.
#[pin_data]
pub(crate) struct Record {
    pub(crate) opened: Atomic<i32>,
    pub(crate) handlers_dropped: Atomic<i32>,
    pub(crate) sessions_dropped: Atomic<i32>,
    #[pin]
    reasons: Locked<KVec<CloseReason>>,
    /// A sender for each peer, in the order in which the peers came.
    #[pin]
    pub(crate) senders: Locked<KVec<Sender>>,
    /// Number of handlers that sleep; they wake up when `wake` is set.
    pub(crate) asleep: Atomic<i32>,
    pub(crate) wake: Atomic<bool>,
    /// Number of the allocation that fails after `open` has waited for the gate; 0 is none.
    pub(crate) fail_nth: Atomic<u32>,
    /// Number of calls of `try_receive` of a [`Trying`], and of those that left the rest to `receive`.
    pub(crate) tried: Atomic<i32>,
    pub(crate) left: Atomic<i32>,
    /// Number of methods that wait for the gate.
    pub(crate) stuck: Atomic<i32>,
    /// Opened with 1.
    pub(crate) gate: Atomic<i32>,
    /// A server for the handler to drop, or one that it has started.
    #[pin]
    pub(crate) victim: Locked<Option<KernelTcpServer>>,
}

impl Record {
    /// Number of connections for which there is room from the beginning.
    const FEW: usize = 16;

    pub(crate) fn new() -> Result<Arc<Self>> {
        // Allocated ahead, so that none is missed when allocations fail.
        let reasons = KVec::with_capacity(Self::FEW, GFP_KERNEL)?;
        Arc::pin_init(
            pin_init!(Self {
                opened: Atomic::new(0),
                handlers_dropped: Atomic::new(0),
                sessions_dropped: Atomic::new(0),
                reasons <- Locked::new(reasons),
                senders <- Locked::new(KVec::new()),
                asleep: Atomic::new(0),
                wake: Atomic::new(false),
                fail_nth: Atomic::new(0),
                tried: Atomic::new(0),
                left: Atomic::new(0),
                stuck: Atomic::new(0),
                gate: Atomic::new(0),
                victim <- Locked::new(None),
            }),
            GFP_KERNEL,
        )
    }

    fn wait_at_gate(&self) {
        self.stuck.fetch_add(1, Relaxed);
        while self.gate.load(Relaxed) == 0 {
            fsleep(Delta::from_millis(10));
        }
    }

    /// Sleeps until the test sets `wake`.
    fn sleep(&self) -> Result {
        self.asleep.fetch_add(1, Relaxed);
        fsleep(Delta::from_millis(20));
        let woken = eventually(|| self.wake.load(Relaxed));
        self.asleep.fetch_sub(1, Relaxed);
        if woken {
            Ok(())
        } else {
            Err(ETIMEDOUT)
        }
    }

    pub(crate) fn opened(&self) -> i32 {
        self.opened.load(Relaxed)
    }

    pub(crate) fn closed(&self) -> usize {
        self.reasons.with(|reasons| reasons.len())
    }

    pub(crate) fn last_reason(&self) -> Option<CloseReason> {
        self.reasons.with(|reasons| reasons.last().copied())
    }
}

/// A handler that carries out the [`Command`] that a message begins with, and keeps a record. Once a
/// message has begun with none, the session is a plain echo.
///
/// It never sleeps, unless a command says so: all that it shares with tests is fit for softirqs.
pub(crate) struct Probe<const MAY_SLEEP: bool> {
    pub(crate) record: Arc<Record>,
}

pub(crate) struct Session {
    record: Arc<Record>,
    echo: bool,
    deaf: bool,
    /// True once the last word was written.
    parted: bool,
}

impl Session {
    /// Returns the command that the input begins with.
    fn command(&self, input: &Input<'_>) -> Option<Command> {
        if self.echo {
            return None;
        }
        input.first().and_then(|&byte| Command::from_byte(byte))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.record.sessions_dropped.fetch_add(1, Relaxed);
    }
}

impl<const MAY_SLEEP: bool> Drop for Probe<MAY_SLEEP> {
    fn drop(&mut self) {
        self.record.handlers_dropped.fetch_add(1, Relaxed);
    }
}

impl<const MAY_SLEEP: bool> Probe<MAY_SLEEP> {
    /// Carries out `command`, with which `input` begins.
    fn obey(
        &self,
        command: Command,
        session: &mut Session,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Next> {
        let next = match command {
            Command::Deaf => {
                session.deaf = true;
                let all = input.len();
                input.consume(all);
                Next::Receive
            }
            Command::Line | Command::PoliteLine => {
                if let Some(end) = input.iter().position(|&byte| byte == b'\n') {
                    output.write(&input[..=end])?;
                    input.consume(end + 1);
                }
                Next::Receive
            }
            Command::Close => {
                output.write(b"bye")?;
                Next::Close
            }
            Command::HalfClose => {
                output.write(b"last")?;
                (session.deaf, session.parted) = (true, true);
                Next::HalfClose
            }
            Command::Reset => {
                output.write(b"never seen")?;
                Next::Reset
            }
            Command::Fail => {
                output.write(b"sorry")?;
                return Err(EPROTO);
            }
            Command::Flood => {
                while output.write(&[b'g'; 1000]).is_ok() {}
                Next::Receive
            }
            Command::Overfill => {
                overfill(input, output)?;
                Next::Receive
            }
            Command::Sleep => {
                self.record.sleep()?;
                output.forward(input);
                Next::Receive
            }
            Command::Block => {
                self.record.wait_at_gate();
                output.forward(input);
                Next::Receive
            }
            Command::StartServer => {
                self.start_server()?;
                output.forward(input);
                Next::Receive
            }
            Command::DropServer => {
                self.drop_server();
                output.forward(input);
                Next::Receive
            }
            Command::DropServerTogether => {
                MUTUAL.fetch_add(1, Relaxed);
                eventually(|| MUTUAL.load(Relaxed) >= 2);
                self.drop_server();
                Next::Close
            }
        };
        Ok(next)
    }

    fn start_server(&self) -> Result {
        let probe = Self {
            record: self.record.clone(),
        };
        let server = builder(Executor::EventLoop).start(&THIS_MODULE, probe)?;
        self.record.victim.with(|slot| *slot = Some(server));
        Ok(())
    }

    fn drop_server(&self) {
        // Not under the lock: a server that is dropped may sleep.
        let victim = self.record.victim.with(Option::take);
        drop(victim);
    }
}

/// Writes more than there is room for, and answers `no` if that was refused.
fn overfill(input: &mut Input<'_>, output: &mut Output<'_>) -> Result {
    let count = input.len();
    let room = output.room();
    let long = KVec::from_elem(0, room + 1, GFP_ATOMIC)?;
    let refused = output.write(&long);
    input.consume(count);
    output.write(if refused == Err(ENOBUFS) {
        b"no"
    } else {
        b"??"
    })
}

impl<const MAY_SLEEP: bool> Handler for Probe<MAY_SLEEP> {
    type Session = Session;

    const MAY_SLEEP: bool = MAY_SLEEP;

    fn open(&self, peer: &Peer<'_>) -> Result<Session> {
        let before = self.record.opened.fetch_add(1, Relaxed);
        // The record of a test that wants a refusal starts below zero.
        if before < 0 {
            return Err(EPERM);
        }
        let sender = peer.sender();
        self.record
            .senders
            .with(|senders| senders.push(sender, GFP_ATOMIC))?;
        let nth = self.record.fail_nth.xchg(0, Relaxed);
        if nth != 0 {
            self.record.wait_at_gate();
            fault::arm_current(nth);
        }
        Ok(Session {
            record: self.record.clone(),
            echo: false,
            deaf: false,
            parted: false,
        })
    }

    fn receive(
        &self,
        session: &mut Session,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Next> {
        if session.deaf {
            let all = input.len();
            input.consume(all);
            return Ok(Next::Receive);
        }
        match session.command(input) {
            Some(command) => self.obey(command, session, input, output),
            None => {
                session.echo = true;
                output.forward(input);
                Ok(Next::Receive)
            }
        }
    }

    fn end(&self, session: &mut Session, input: &mut Input<'_>, output: &mut Output<'_>) -> Result {
        if session.parted {
            return Ok(());
        }
        output.write(b"|")?;
        output.forward(input);
        Ok(())
    }

    fn time_out(
        &self,
        _session: &mut Session,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
        _reason: CloseReason,
    ) {
        if input.first() == Some(&Command::PoliteLine.byte()) {
            let _ = output.write(b"too slow");
        }
    }

    fn close(&self, _session: Session, reason: CloseReason) {
        let _ = self
            .record
            .reasons
            .with(|reasons| reasons.push(reason, GFP_ATOMIC));
    }
}

/// A [`Probe`] with `try_receive`, which leaves commands that sleep to `receive`, and every third of
/// the others, too.
pub(crate) struct Trying(Probe<true>);

impl Handler for Trying {
    type Session = Session;

    const TRIES_FIRST: bool = true;

    fn open(&self, peer: &Peer<'_>) -> Result<Session> {
        self.0.open(peer)
    }

    fn try_receive(
        &self,
        session: &mut Session,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Option<Next>> {
        let record = &self.0.record;
        let count = record.tried.fetch_add(1, Relaxed);
        let sleeps = session.command(input).is_some_and(Command::sleeps);
        if sleeps || count % 3 == 2 {
            if session.echo && !session.deaf && output.room() > 0 {
                // Consumed and written before the rest is left: `receive` must not see it again.
                let first = input.first().copied();
                output.write(first.as_slice())?;
                input.consume(1);
            }
            record.left.fetch_add(1, Relaxed);
            return Ok(None);
        }
        self.0.receive(session, input, output).map(Some)
    }

    fn receive(
        &self,
        session: &mut Session,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Next> {
        self.0.receive(session, input, output)
    }

    fn end(&self, session: &mut Session, input: &mut Input<'_>, output: &mut Output<'_>) -> Result {
        self.0.end(session, input, output)
    }

    fn time_out(
        &self,
        session: &mut Session,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
        reason: CloseReason,
    ) {
        self.0.time_out(session, input, output, reason);
    }

    fn close(&self, session: Session, reason: CloseReason) {
        self.0.close(session, reason);
    }
}

/// Settings that make a test end soon.
pub(crate) fn builder(executor: Executor) -> Builder {
    KernelTcpServer::builder(c"probe")
        .executor(executor)
        .drain(Delta::from_millis(200))
}

/// Number of handlers that are about to drop each other's servers.
pub(crate) static MUTUAL: Atomic<u32> = Atomic::new(0);

/// The kind of probe with which [`start`] makes servers.
static KIND: Atomic<u32> = Atomic::new(SLEEPING);
const SLEEPING: u32 = 0;
const AWAKE: u32 = 1;
const TRYING: u32 = 2;

/// Calls `case` with probes that do not sleep. Tests run one after the other.
pub(crate) fn awake(case: fn() -> Result) -> Result {
    with_kind(AWAKE, case)
}

/// Calls `case` with probes that try to do without sleeping.
pub(crate) fn trying(case: fn() -> Result) -> Result {
    with_kind(TRYING, case)
}

fn with_kind(kind: u32, case: fn() -> Result) -> Result {
    KIND.store(kind, Relaxed);
    let result = case();
    KIND.store(SLEEPING, Relaxed);
    result
}

/// A server with a [`Probe`], its record, and its address.
pub(crate) fn start(builder: Builder) -> Result<(KernelTcpServer, Arc<Record>, SocketAddr)> {
    namespace()?;
    let record = Record::new()?;
    let (module, for_probe) = (&THIS_MODULE, record.clone());
    let server = match KIND.load(Relaxed) {
        AWAKE => builder.start(module, Probe::<false> { record: for_probe })?,
        TRYING => builder.start(module, Trying(Probe { record: for_probe }))?,
        _ => builder.start(module, Probe::<true> { record: for_probe })?,
    };
    let addr = server.local_addr();
    Ok((server, record, addr))
}

/// Sends and does not read, until the server is stuck in sending and receives no more. Returns the
/// number of bytes sent.
pub(crate) fn fill(client: &TcpStream) -> Result<usize> {
    let block = pattern(64 << 10)?;
    client.set_write_timeout(Some(Delta::from_millis(100)))?;
    let (mut sent, mut refused) = (0, 0);
    while refused < 5 {
        match client.write(&block) {
            Ok(count) => {
                sent += count;
                refused = 0;
            }
            Err(ETIMEDOUT) => refused += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}

/// Waits, twenty seconds at most, until `condition` holds.
pub(crate) fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    for _ in 0..2000 {
        if condition() {
            return true;
        }
        fsleep(Delta::from_millis(10));
    }
    condition()
}
