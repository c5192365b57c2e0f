// SPDX-License-Identifier: GPL-2.0

//! An echo server (RFC 862): every byte that a client sends comes back to it.

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
    type: Kecho,
    name: "kecho",
    authors: ["The ktcp_server authors"],
    description: "TCP echo server inside the kernel",
    license: "GPL",
    params: {
        port: u16 {
            default: 12345,
            description: "TCP port to listen on; 0 lets the kernel choose",
        },
    },
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

struct Kecho {
    _server: KernelTcpServer,
}

impl kernel::Module for Kecho {
    fn init(module: &'static ThisModule) -> Result<Self> {
        // A reference before 7.3.
        let port = u16::clone(&module_parameters::port.value());
        let server = KernelTcpServer::builder(c"kecho")
            .listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
            .start(module, Echo)?;
        pr_info!("listening on {:?}\n", server.local_addr());
        Ok(Self { _server: server })
    }
}
