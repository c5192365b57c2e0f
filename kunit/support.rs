// SPDX-License-Identifier: GPL-2.0

//! Helpers of several suites.

use core::net::{
    Ipv4Addr,
    SocketAddr, //
};
use kernel::{
    bindings,
    error::to_result,
    new_spinlock,
    prelude::*,
    sync::SpinLock,
    time::{
        msecs_to_jiffies,
        Delta,
        Instant,
        Jiffies,
        Monotonic,
        Msecs, //
    }, //
};
use ktcp_server::net::{
    Namespace,
    TcpStream, //
};

extern "C" {
    fn ktcp_kunit_loopback_up() -> c_int;
    fn ktcp_softirqs_off();
    fn ktcp_softirqs_on();
}

/// A value that a test shares with a handler that may run in softirq context.
#[pin_data]
pub(crate) struct Locked<T> {
    #[pin]
    inner: SpinLock<T>,
}

impl<T: Unpin> Locked<T> {
    pub(crate) fn new(value: T) -> impl PinInit<Self> {
        pin_init!(Self { inner <- new_spinlock!(value) })
    }

    /// Calls `f`, which must not sleep, with the value.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // A softirq would spin on the lock that the interrupted task holds.
        without_softirqs(|| f(&mut self.inner.lock()))
    }
}

/// Calls `f`, which must not sleep, with softirqs off.
pub(crate) fn without_softirqs<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: Any task may do this.
    unsafe { ktcp_softirqs_off() };
    let result = f();
    // SAFETY: It was done above.
    unsafe { ktcp_softirqs_on() };
    result
}

/// The initial namespace, with its loopback device up.
pub(crate) fn namespace() -> Result<Namespace> {
    // SAFETY: May be called from any task that can sleep, which tests can.
    to_result(unsafe { ktcp_kunit_loopback_up() })?;
    Ok(Namespace::initial())
}

/// The loopback address with a port that the kernel chooses.
pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// A client that gives up after half a minute instead of hanging the run.
pub(crate) fn connect(addr: SocketAddr) -> Result<TcpStream> {
    let client = TcpStream::connect(&namespace()?, addr)?;
    let patience = Some(Delta::from_secs(30));
    client.set_read_timeout(patience)?;
    client.set_write_timeout(patience)?;
    Ok(client)
}

/// A stopwatch that tells whether a timeout was too short.
///
/// It counts jiffies, as timeouts do: where the kernel is itself a guest, they lag behind the clock.
pub(crate) struct Stopwatch {
    start: Jiffies,
}

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self { start: jiffies() }
    }

    /// Returns true if at least `millis` have passed.
    pub(crate) fn has_run(&self, millis: Msecs) -> bool {
        jiffies().wrapping_sub(self.start) >= msecs_to_jiffies(millis)
    }
}

fn jiffies() -> Jiffies {
    // SAFETY: A word that C writes; whichever value is read is a time of this moment.
    unsafe { (&raw const bindings::jiffies).read_volatile() }
}

/// The beat of a test that does something regularly, and the longest pause in it.
pub(crate) struct Pace {
    last: Instant<Monotonic>,
    longest: i64,
}

impl Pace {
    /// Notes that the test has done it once more.
    pub(crate) fn beat(&mut self) {
        self.longest = self.longest.max(self.last.elapsed().as_millis());
        self.last = Instant::now();
    }
}

/// Runs `attempt`, and again if it fails after a pause of `millis` or more between two beats: on a machine
/// that stood still for longer than a timeout, a failure says nothing about the code.
pub(crate) fn at_pace(millis: i64, attempt: impl Fn(&mut Pace) -> Result) -> Result {
    const AT_MOST: usize = 10;

    let mut result = Ok(());
    for _ in 0..AT_MOST {
        let mut pace = Pace {
            last: Instant::now(),
            longest: 0,
        };
        result = attempt(&mut pace);
        pace.beat();
        if result.is_ok() || pace.longest < millis {
            break;
        }
        pr_info!("held up for {} ms: once more\n", pace.longest);
    }
    result
}

/// `len` bytes that differ from their neighbours and hold every value, NUL included.
pub(crate) fn pattern(len: usize) -> Result<KVVec<u8>> {
    let mut bytes = KVVec::with_capacity(len, GFP_KERNEL)?;
    for index in 0..len {
        bytes.push((index ^ (index >> 8).wrapping_mul(31)) as u8, GFP_KERNEL)?;
    }
    Ok(bytes)
}

/// Reads until the end of the stream, or until `limit` bytes have come.
pub(crate) fn read_to_end(stream: &TcpStream, limit: usize) -> Result<KVVec<u8>> {
    let mut bytes = KVVec::from_elem(0, limit, GFP_KERNEL)?;
    let mut filled = 0;
    while filled < limit {
        match stream.read(&mut bytes[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

/// Sends `data` and reads as many bytes back, without either waiting for the other.
pub(crate) fn exchange(stream: &TcpStream, data: &[u8]) -> Result<KVVec<u8>> {
    let mut answer = KVVec::from_elem(0, data.len(), GFP_KERNEL)?;
    let (mut sent, mut received) = (0, 0);
    while received < data.len() {
        if sent < data.len() {
            match stream.try_write(&data[sent..]) {
                Ok(count) => sent += count,
                Err(EAGAIN) => {}
                Err(error) => return Err(error),
            }
            match stream.try_read(&mut answer[received..]) {
                Ok(0) => return Err(EPIPE),
                Ok(count) => received += count,
                Err(EAGAIN) => kernel::time::delay::fsleep(Delta::from_micros(100)),
                Err(error) => return Err(error),
            }
        } else {
            match stream.read(&mut answer[received..])? {
                0 => return Err(EPIPE),
                count => received += count,
            }
        }
    }
    Ok(answer)
}

/// Sends `data` from one end of a connection to the other, and returns the bytes that arrived.
pub(crate) fn transfer(from: &TcpStream, to: &TcpStream, data: &[u8]) -> Result<KVVec<u8>> {
    let mut received = KVVec::from_elem(0, data.len(), GFP_KERNEL)?;
    let (mut sent, mut filled) = (0, 0);
    while filled < data.len() {
        match from.try_write(&data[sent..]) {
            Ok(count) => sent += count,
            Err(EAGAIN) => {}
            Err(error) => return Err(error),
        }
        match to.read(&mut received[filled..])? {
            0 => return Err(EPIPE),
            count => filled += count,
        }
    }
    Ok(received)
}
