// SPDX-License-Identifier: GPL-2.0

//! Handlers that own servers, in ways that an author may come upon.
//!
//! | `program` | what it does |
//! |---|---|
//! | self | the handler owns its own server |
//! | pair | the handlers of two servers own each other's |
//! | session | a session owns its server |
//! | thread | the handler owns the handle of a thread that owns its server |
//! | drop | the handler owns another server, and is dropped with its own |
//! | start | the handler owns another server, and its own cannot start: the port is in use |
//! | killed | the same, for `insmod` is killed meanwhile |
//!
//! A client can also have its server dropped by a thread that the handler joins (`j`), or shut down by
//! the handler itself (`q`).
//!
//! The library promises that the module can be unloaded in the time that the servers may take to send
//! what is to be sent, that every handler has been dropped then, and that nothing is left.

mod outcome;
mod shelf;
mod variants;

use self::{
    shelf::Shelf,
    variants::Variant, //
};
use core::{
    mem::forget,
    net::Ipv4Addr, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use ktcp_server::{
    kthread::{
        self,
        JoinHandle, //
    },
    Executor,
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
    type: Owners,
    name: "owners",
    authors: ["The ktcp_server authors"],
    description: "Handlers that own servers",
    license: "GPL",
}

ktcp_server::parameters! {
    /// What a test can set.
    struct Parameters {
        /// What is done: self, pair, session, thread, drop, start or killed
        program: Text<16> = Text::new("self"),
        /// The executor: event_loop, workqueue, kthread or softirq; all of them if empty
        only: Text<16> = Text::new(""),
        /// TCP port of the first server, behind which are those of the next
        port: u16 = 12345,
        /// How long a server waits for what is to be sent
        drain_ms: u32 = 1000,
        /// How long a leaked thread takes to stop; 0 is no such thread
        lag_ms: u32 = 3000,
        /// How long a handler that may sleep takes to be dropped
        tail_ms: u32 = 0,
    }
}

/// The name of a second server.
const OTHER: &CStr = c"other";

/// How long [`Owner`] waits for clients when it shuts down its server.
const WITHIN: Delta = Delta::from_millis(500);

/// What can be owned.
enum Possession {
    Server(KernelTcpServer),
    Thread { _handle: JoinHandle<()> },
}

/// A line in the log when it is dropped, which may take its time.
struct Told {
    name: &'static CStr,
    tail: Delta,
}

impl Drop for Told {
    fn drop(&mut self) {
        if !self.tail.is_zero() {
            fsleep(self.tail);
        }
        pr_info!("{}: the handler is dropped\n", self.name);
    }
}

/// A handler that echoes, but for some commands, and owns what is on a shelf.
struct Owner<const MAY_SLEEP: bool> {
    name: &'static CStr,
    module: &'static ThisModule,
    shelf: Arc<Shelf<Possession>>,
    /// Whether a session takes what is on the shelf.
    is_robbed: bool,
    /// Dropped behind the shelf: code of this module that runs when the server is stopped.
    _told: Told,
}

impl<const MAY_SLEEP: bool> Owner<MAY_SLEEP> {
    /// Has the server dropped by a thread, and waits for that.
    fn join(&self) -> Result {
        let owned = self.shelf.take();
        kthread::spawn(self.module, c"owners/drops", move |_| drop(owned))?.join()
    }

    fn shut_down(&self) {
        if let Some(Possession::Server(server)) = self.shelf.take() {
            server.shutdown(WITHIN);
        }
    }
}

impl<const MAY_SLEEP: bool> Handler for Owner<MAY_SLEEP> {
    type Session = Option<Possession>;

    const MAY_SLEEP: bool = MAY_SLEEP;

    fn open(&self, _peer: &Peer<'_>) -> Result<Self::Session> {
        Ok(if self.is_robbed {
            self.shelf.take()
        } else {
            None
        })
    }

    fn receive(
        &self,
        _session: &mut Self::Session,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Next> {
        match &**input {
            // More than any buffer on the way has room for.
            b"flood" => while output.write(&[b'f'; 1024]).is_ok() {},
            b"sleep" if MAY_SLEEP => {
                input.consume(b"sleep".len());
                pr_info!("{}: sleeps\n", self.name);
                fsleep(Delta::from_millis(300));
            }
            b"join" if MAY_SLEEP => {
                input.consume(b"join".len());
                pr_info!("{}: joins\n", self.name);
                let ended = outcome::number(self.join());
                pr_info!("{}: joining ends with {}\n", self.name, ended);
            }
            b"shut_down" => {
                input.consume(b"shut_down".len());
                self.shut_down();
            }
            _ => {
                output.forward(input);
            }
        }
        Ok(Next::Receive)
    }
}

/// How a server is started.
struct Starter {
    module: &'static ThisModule,
    executor: Executor,
    may_sleep: bool,
    drain: Delta,
    tail: Delta,
    is_robbed: bool,
}

impl Starter {
    fn owner<const MAY_SLEEP: bool>(
        &self,
        name: &'static CStr,
        shelf: Arc<Shelf<Possession>>,
    ) -> Owner<MAY_SLEEP> {
        Owner {
            name,
            module: self.module,
            shelf,
            is_robbed: self.is_robbed,
            _told: Told {
                name,
                tail: self.tail,
            },
        }
    }

    /// Starts a server whose handler has that shelf.
    fn start(
        &self,
        name: &'static CStr,
        port: u16,
        shelf: Arc<Shelf<Possession>>,
    ) -> Result<KernelTcpServer> {
        let builder = KernelTcpServer::builder(name)
            .listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
            .executor(self.executor)
            .drain(self.drain);
        if self.may_sleep {
            builder.start(self.module, self.owner::<true>(name, shelf))
        } else {
            builder.start(self.module, self.owner::<false>(name, shelf))
        }
    }
}

impl Starter {
    /// A shelf with a server on it.
    fn shelf_with_other(&self, port: u16) -> Result<Arc<Shelf<Possession>>> {
        let shelf = Shelf::new()?;
        shelf.put(Possession::Server(self.start(
            OTHER,
            port,
            Shelf::new()?,
        )?));
        Ok(shelf)
    }

    /// Gives the task time to be killed, and then starts servers until that fails.
    fn start_until_killed(&self, name: &'static CStr, port: u16) -> Result<KernelTcpServer> {
        let mut shelves = KVec::new();
        shelves.push(self.shelf_with_other(port)?, GFP_KERNEL)?;
        for _ in 0..9 {
            shelves.push(self.shelf_with_other(0)?, GFP_KERNEL)?;
        }
        pr_info!("waits to be killed\n");
        fsleep(Delta::from_secs(1));
        for shelf in shelves {
            // A thread that is there at once is not waited for, so that this may succeed.
            self.start(name, 0, shelf)?;
        }
        Err(EIO)
    }
}

/// Leaks a thread that takes its time to stop. The first that is ended, it makes the others, which have
/// been asked to end, wait for their turn.
fn lag(module: &'static ThisModule, how_long: Delta) -> Result {
    forget(kthread::spawn(module, c"owners/lags", move |stop| {
        while !stop.wait(Delta::from_secs(60)) {}
        fsleep(how_long);
    })?);
    Ok(())
}

/// A thread that owns `server` until it is asked to stop.
fn guard(module: &'static ThisModule, server: KernelTcpServer) -> Result<JoinHandle<()>> {
    kthread::spawn(module, c"owners/guards", move |stop| {
        while !stop.wait(Delta::from_secs(60)) {}
        drop(server);
    })
}

struct Owners {
    _servers: KVec<KernelTcpServer>,
}

impl Owners {
    /// Runs a program on one executor; returns the server that the module owns itself.
    fn run(
        program: &str,
        starter: &Starter,
        variant: &Variant,
        port: u16,
    ) -> Result<Option<KernelTcpServer>> {
        let shelf = Shelf::new()?;
        let own = match program {
            "self" | "session" => {
                let server = starter.start(variant.name, port, shelf.clone())?;
                shelf.put(Possession::Server(server));
                None
            }
            "pair" => {
                let other_shelf = Shelf::new()?;
                let server = starter.start(variant.name, port, shelf.clone())?;
                let other = starter.start(OTHER, 0, other_shelf.clone())?;
                shelf.put(Possession::Server(other));
                other_shelf.put(Possession::Server(server));
                None
            }
            "thread" => {
                let server = starter.start(variant.name, port, shelf.clone())?;
                let _handle = guard(starter.module, server)?;
                shelf.put(Possession::Thread { _handle });
                None
            }
            "drop" => {
                let shelf = starter.shelf_with_other(0)?;
                Some(starter.start(variant.name, port, shelf)?)
            }
            "start" | "killed" => {
                // The handler is the only one who has the shelf.
                let started = if program == "start" {
                    starter.start(variant.name, port, starter.shelf_with_other(port)?)
                } else {
                    starter.start_until_killed(variant.name, port)
                };
                pr_info!("{}: started: {}\n", variant.name, outcome::number(started));
                None
            }
            _ => return Err(EINVAL),
        };
        Ok(own)
    }
}

impl kernel::Module for Owners {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let set = Parameters::read()?;
        if set.lag_ms > 0 {
            lag(module, Delta::from_millis(set.lag_ms.into()))?;
        }
        let mut servers = KVec::new();
        for (number, variant) in variants::chosen(&set.only) {
            let starter = Starter {
                module,
                executor: variant.executor,
                may_sleep: variant.may_sleep,
                drain: Delta::from_millis(set.drain_ms.into()),
                tail: Delta::from_millis(if variant.may_sleep {
                    set.tail_ms.into()
                } else {
                    0
                }),
                is_robbed: set.program.as_str() == "session",
            };
            let port = set.port + number;
            if let Some(server) = Self::run(set.program.as_str(), &starter, variant, port)? {
                servers.push(server, GFP_KERNEL)?;
            }
        }
        Ok(Self { _servers: servers })
    }
}
