// SPDX-License-Identifier: GPL-2.0

//! An echo server that its module leaks, as safe code may.

use core::net::Ipv4Addr;
use kernel::prelude::*;
use ktcp_server::{
    Handler,
    Input,
    KernelTcpServer,
    Next,
    Output,
    Peer,
    SocketAddr, //
};

module! {
    type: Leaky,
    name: "leaky",
    authors: ["The ktcp_server authors"],
    description: "Leaks its server",
    license: "GPL",
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

struct Leaky;

impl kernel::Module for Leaky {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let addr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 12345));
        let server = KernelTcpServer::builder(c"leaky").listen(addr);
        core::mem::forget(server.start(module, Echo)?);
        Ok(Self)
    }
}
