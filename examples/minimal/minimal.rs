// SPDX-License-Identifier: GPL-2.0

//! The smallest complete server: it answers a client's first bytes with a greeting, and closes.

use core::net::Ipv4Addr;
use kernel::prelude::*;
use ktcp_server::{Handler, Input, KernelTcpServer, Next, Output, Peer, SocketAddr};

module! {
    type: Minimal,
    name: "minimal",
    authors: ["The ktcp_server authors"],
    description: "The smallest TCP server inside the kernel",
    license: "GPL",
}

/// The protocol.
struct Greeter;

impl Handler for Greeter {
    type Session = ();

    fn open(&self, _peer: &Peer<'_>) -> Result {
        Ok(())
    }

    fn receive(&self, _s: &mut (), input: &mut Input<'_>, output: &mut Output<'_>) -> Result<Next> {
        output.write(b"hello, ")?;
        output.forward(input);
        Ok(Next::Close)
    }
}

/// The module, which serves as long as it is loaded.
struct Minimal {
    _server: KernelTcpServer,
}

impl kernel::Module for Minimal {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 12346));
        let server = KernelTcpServer::builder(c"minimal").listen(addr);
        Ok(Self {
            _server: server.start(module, Greeter)?,
        })
    }
}
