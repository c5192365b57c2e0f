// SPDX-License-Identifier: GPL-2.0

//! A module that lends what it has to another module, `borrower`, which goes before it does.
//!
//! The library promises that it runs no code of the borrower for the lender, and that no name that the
//! borrower has given is read after it has gone.

use core::net::Ipv4Addr;
use kernel::{
    prelude::*,
    sync::SetOnce,
    time::Delta, //
};
use ktcp_server::{
    kthread::{
        self,
        JoinHandle, //
    },
    workqueue::OwnedQueue,
    Handler,
    Input,
    KernelTcpServer,
    Next,
    Output,
    Peer,
    SocketAddr, //
};

module! {
    type: Lender,
    name: "lender",
    authors: ["The ktcp_server authors"],
    description: "Lends what it has",
    license: "GPL",
}

/// This module.
static MODULE: SetOnce<&'static ThisModule> = SetOnce::new();

/// What the borrower gets.
static QUEUE: SetOnce<OwnedQueue> = SetOnce::new();

/// What was named by the borrower.
static NAMED: SetOnce<Named> = SetOnce::new();

struct Named {
    _server: KernelTcpServer,
    _thread: JoinHandle<()>,
    _queue: OwnedQueue,
}

struct Echo;

impl Handler for Echo {
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
        output.forward(input);
        Ok(Next::Receive)
    }
}

/// The queue of this module. Any context.
pub fn queue() -> Result<&'static OwnedQueue> {
    QUEUE.as_ref().ok_or(ENODEV)
}

/// This module. Any context.
pub fn module() -> Result<&'static ThisModule> {
    MODULE.copy().ok_or(ENODEV)
}

/// Starts a server on port 12345, a thread and a queue of this module, all of that name. May sleep.
pub fn serve(name: &'static CStr) -> Result {
    let module = module()?;
    let server = KernelTcpServer::builder(name)
        .listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 12345)))
        .start(module, Echo)?;
    let thread = kthread::spawn(
        module,
        name,
        |stop| {
            while !stop.wait(Delta::from_secs(60)) {}
        },
    )?;
    let named = Named {
        _server: server,
        _thread: thread,
        _queue: OwnedQueue::new(module, name)?,
    };
    if NAMED.populate(named) {
        Ok(())
    } else {
        Err(EBUSY)
    }
}

struct Lender;

impl kernel::Module for Lender {
    fn init(module: &'static ThisModule) -> Result<Self> {
        MODULE.populate(module);
        QUEUE.populate(OwnedQueue::new(module, c"lent")?);
        Ok(Self)
    }
}
