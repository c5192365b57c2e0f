// SPDX-License-Identifier: GPL-2.0

//! For the KUnit tests of services; in kernels with `CONFIG_KUNIT=y` only.

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

/// The longest time in which nothing may happen.
const PATIENCE: Delta = Delta::from_secs(10);
const PAUSE: Delta = Delta::from_micros(100);

/// No module: the server of a test is gone before the test returns, and so before any module could go.
// SAFETY: A null pointer is what built-in code has for a module.
static NO_MODULE: ThisModule = unsafe { ThisModule::from_ptr(core::ptr::null_mut()) };

/// Starts a server with `handler`, connects to it, says `said` and then the end of the stream, and
/// returns all that comes back until the server closes the connection. The server is gone then.
///
/// The peer it plays is a good one: it reads while it writes. The loopback device is brought up, for
/// where there is no user space nothing else does so.
///
/// # Errors
///
/// `EDEADLK` in a method of a handler, and in what a server drops: there, the end of another server cannot
/// be waited for. `EBUSY` where one must not sleep. `ETIMEDOUT` when nothing has happened for ten seconds;
/// those of [`TcpStream`], such as
/// `ECONNRESET` when the handler refused the connection or reset it; `ENOMEM`.
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
    // SAFETY: May be called from any task that can sleep.
    to_result(unsafe { shim::ktcp_kunit_loopback_up() })?;
    let server = KernelTcpServer::builder(c"kunit").start_unchecked(&NO_MODULE, handler)?;
    let client = TcpStream::connect(&Namespace::current()?, server.local_addr())?;
    // Noted as a wait for the server, whose end is waited for before this returns: the handler cannot join
    // the task that plays the client.
    server.while_waited_for(|| exchange(&client, said))?
}

/// Says `said` and hears the answer, without either waiting for the other.
fn exchange(client: &TcpStream, mut said: &[u8]) -> Result<KVVec<u8>> {
    let mut answer = KVVec::new();
    let mut piece = KVVec::from_elem(0, 4096, GFP_KERNEL)?;
    let mut ended = false;
    let mut last = Instant::<Monotonic>::now();

    while last.elapsed() < PATIENCE {
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
