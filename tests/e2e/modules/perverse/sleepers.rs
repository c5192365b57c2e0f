// SPDX-License-Identifier: GPL-2.0

//! Handlers that wait for peers that say nothing.
//!
//! A client chooses with a word what its handler waits for, without a limit of time:
//!
//! | word | what it waits for |
//! |---|---|
//! | read | a byte of an upstream that sends none |
//! | read_exact | a whole message of such an upstream |
//! | accept | a connection that never comes |
//! | connect | an upstream that does not answer when the handler connects to it |
//! | condition | a condition that is never true |
//! | upstream | a byte of the program that listens on port 7000 of this machine |
//!
//! The library promises that the module can be unloaded in the time that the servers may take to send
//! what is to be sent: then the handlers are interrupted, and what they wait in fails with `EINTR` or
//! `ERESTARTSYS`. Other connections of the same thread are closed, too.

mod outcome;
mod variants;

use core::{
    mem::forget,
    net::Ipv4Addr, //
};
use kernel::{
    new_condvar,
    new_mutex,
    prelude::*,
    sync::{
        Arc,
        CondVar,
        Mutex, //
    },
    time::Delta, //
};
use ktcp_server::{
    net::{
        Namespace,
        TcpListener,
        TcpStream, //
    },
    Handler,
    Input,
    KernelTcpServer,
    Next,
    Output,
    Peer,
    SocketAddr,
    Text, //
};

module! {
    type: Sleepers,
    name: "sleepers",
    authors: ["The ktcp_server authors"],
    description: "Handlers that wait for silent peers",
    license: "GPL",
}

ktcp_server::parameters! {
    /// What a test can set.
    struct Parameters {
        /// The executor: event_loop, workqueue or kthread; all of them if empty
        only: Text<16> = Text::new(""),
        /// TCP port of the first server, behind which are those of the next
        port: u16 = 12345,
        /// How long a server waits for what is to be sent
        drain_ms: u32 = 1000,
        /// Whether the servers are leaked
        leak: bool = false,
    }
}

/// The peers that say nothing.
#[pin_data]
struct Silence {
    /// Where connections are made and never accepted.
    silent: TcpListener,
    /// Where no connection is made, for its backlog is full.
    full: TcpListener,
    /// What fills it.
    filling: KVec<TcpStream>,
    /// Where no client connects to.
    lonely: TcpListener,
    #[pin]
    lock: Mutex<()>,
    /// Never notified.
    event: Pin<KBox<CondVar>>,
}

/// A listener whose backlog is full, and what fills it.
fn full(here: &Namespace) -> Result<(TcpListener, KVec<TcpStream>)> {
    let listener = TcpListener::options()
        .backlog(0)
        .bind(here, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
    let mut filling = KVec::new();
    for _ in 0..8 {
        let options = TcpStream::options().timeout(Delta::from_millis(300));
        match options.connect(here, listener.local_addr()?) {
            Ok(stream) => filling.push(stream, GFP_KERNEL)?,
            Err(ETIMEDOUT) => return Ok((listener, filling)),
            Err(error) => return Err(error),
        }
    }
    Err(EINVAL)
}

impl Silence {
    fn new() -> Result<Arc<Self>> {
        let here = Namespace::initial();
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let silent = TcpListener::bind(&here, anywhere)?;
        let lonely = TcpListener::bind(&here, anywhere)?;
        let (full, filling) = full(&here)?;
        let event = KBox::pin_init(new_condvar!(), GFP_KERNEL)?;
        Arc::pin_init(
            pin_init!(Self {
                silent,
                full,
                filling,
                lonely,
                lock <- new_mutex!(()),
                event,
            }),
            GFP_KERNEL,
        )
    }

    /// Waits for what never happens, until that fails.
    fn wait(&self, word: &str) -> Result {
        let here = Namespace::initial();
        match word {
            "read" => TcpStream::connect(&here, self.silent.local_addr()?)?
                .read(&mut [0; 16])
                .map(drop),
            "read_exact" => {
                TcpStream::connect(&here, self.silent.local_addr()?)?.read_exact(&mut [0; 16])
            }
            "accept" => self.lonely.accept().map(drop),
            "connect" => TcpStream::connect(&here, self.full.local_addr()?).map(drop),
            "condition" => {
                let mut guard = self.lock.lock();
                while !self.event.wait_interruptible(&mut guard) {}
                Err(EINTR)
            }
            "upstream" => TcpStream::connect(&here, SocketAddr::from((Ipv4Addr::LOCALHOST, 7000)))?
                .read(&mut [0; 16])
                .map(drop),
            _ => Err(EINVAL),
        }
    }
}

/// The words of the table above; whatever else a client says comes back.
const WORDS: [&str; 6] = [
    "read",
    "read_exact",
    "accept",
    "connect",
    "condition",
    "upstream",
];

/// A handler that waits where it is told to.
struct Sleeper {
    name: &'static CStr,
    silence: Arc<Silence>,
}

impl Handler for Sleeper {
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
        let said = WORDS.into_iter().find(|word| word.as_bytes() == &**input);
        let Some(word) = said else {
            output.forward(input);
            return Ok(Next::Receive);
        };
        input.consume(word.len());
        pr_info!("{}: {} waits\n", self.name, word);
        let ended = outcome::number(self.silence.wait(word));
        pr_info!("{}: {} ends with {}\n", self.name, word, ended);
        Ok(Next::Receive)
    }
}

struct Sleepers {
    _servers: KVec<KernelTcpServer>,
}

impl kernel::Module for Sleepers {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let set = Parameters::read()?;
        let silence = Silence::new()?;
        let mut servers = KVec::new();
        for (number, variant) in variants::chosen(&set.only) {
            if !variant.may_sleep {
                continue;
            }
            let handler = Sleeper {
                name: variant.name,
                silence: silence.clone(),
            };
            let server = KernelTcpServer::builder(variant.name)
                .listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, set.port + number)))
                .executor(variant.executor)
                .drain(Delta::from_millis(set.drain_ms.into()))
                .start(module, handler)?;
            if set.leak {
                forget(server);
            } else {
                servers.push(server, GFP_KERNEL)?;
            }
        }
        Ok(Self { _servers: servers })
    }
}
