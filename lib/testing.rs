// SPDX-License-Identifier: GPL-2.0

//! Helpers for KUnit tests of services, in kernels with `CONFIG_KUNIT=y` only.

use crate::{
    handler::Handler,
    net::{
        Namespace,
        Shutdown,
        TcpStream, //
    },
    server::{
        runs_code_of_a_server,
        KernelTcpServer, //
    },
    shim,
    sync::context,
    util::error::EDEADLK, //
};
use kernel::{
    error::to_result,
    prelude::*,
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    }, //
};

/// Time without progress after which an exchange fails.
const IDLE_LIMIT: Delta = Delta::from_secs(10);
const PAUSE: Delta = Delta::from_micros(100);

/// Stands for no module. It suffices because the server of a test ends before the test returns, and
/// so before its module can be unloaded.
// SAFETY: A null pointer denotes built-in code.
static NO_MODULE: ThisModule = unsafe { ThisModule::from_ptr(core::ptr::null_mut()) };

/// Starts a server with `handler`, connects to it, sends `said` and the end of the stream, and
/// returns all bytes received until the server closes the connection. The server has stopped by
/// then.
///
/// The client reads while it writes. The loopback device is brought up, because without user space
/// nothing else does that.
///
/// # Errors
///
/// - `EDEADLK`: the caller is a method of a handler, or a drop that a server runs, where the end of
///   another server cannot be waited for.
/// - `EBUSY`: the caller must not sleep.
/// - `ETIMEDOUT`: ten seconds have passed without progress.
/// - `ENOMEM`, and the errors of [`TcpStream`], such as `ECONNRESET` if the handler refused or
///   reset the connection.
///
/// Sleeps.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use ktcp_server::{testing, Handler, Input, Next, Output, Peer};
///
/// struct Echo;
///
/// impl Handler for Echo {
///     type Session = ();
///
///     fn open(&self, _peer: &Peer<'_>) -> Result {
///         Ok(())
///     }
///
///     fn receive(&self, _session: &mut (), input: &mut Input<'_>, output: &mut Output<'_>) -> Result<Next> {
///         output.forward(input);
///         Ok(Next::Receive)
///     }
/// }
///
/// assert_eq!(&testing::converse(Echo, b"hello")?[..], b"hello");
/// # Ok::<(), Error>(())
/// ```
pub fn converse<H: Handler>(handler: H, said: &[u8]) -> Result<KVVec<u8>> {
    context::may_sleep()?;
    if runs_code_of_a_server() {
        return Err(EDEADLK);
    }
    // SAFETY: The caller may sleep.
    to_result(unsafe { shim::ktcp_kunit_loopback_up() })?;
    let server = KernelTcpServer::builder(c"kunit").start_unchecked(&NO_MODULE, handler)?;
    let client = TcpStream::connect(&Namespace::current()?, server.local_addr())?;
    // Recorded as a wait for the server, whose end this function waits for: so the handler cannot
    // join the task of this client.
    server.while_waited_for(|| exchange(&client, said))?
}

/// Sends `said` and receives the answer at the same time, so that neither direction blocks the
/// other.
fn exchange(client: &TcpStream, mut said: &[u8]) -> Result<KVVec<u8>> {
    let mut answer = KVVec::new();
    let mut piece = KVVec::from_elem(0, 4096, GFP_KERNEL)?;
    let mut ended = false;
    let mut last = Instant::<Monotonic>::now();

    while last.elapsed() < IDLE_LIMIT {
        let mut idle = true;
        if !said.is_empty() {
            match client.try_write(said) {
                Ok(count) => {
                    said = said.get(count..).unwrap_or_default();
                    idle = false;
                }
                Err(EAGAIN) => {}
                Err(error) => return Err(error),
            }
        }
        if said.is_empty() && !ended {
            client.shutdown(Shutdown::Write)?;
            ended = true;
        }
        match client.try_read(&mut piece) {
            Ok(0) => return Ok(answer),
            Ok(count) => {
                answer.extend_from_slice(&piece[..count], GFP_KERNEL)?;
                idle = false;
            }
            Err(EAGAIN) => {}
            Err(error) => return Err(error),
        }
        if idle {
            fsleep(PAUSE);
        } else {
            last = Instant::now();
        }
    }
    Err(ETIMEDOUT)
}
