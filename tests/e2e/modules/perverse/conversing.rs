// SPDX-License-Identifier: GPL-2.0

//! Handlers that play a client to another handler, which is for tests.
//!
//! The library promises that a method of a handler is told `EDEADLK`, for the other server would have
//! to stop before the method returns, and that the module can be unloaded.

mod outcome;
mod variants;

use core::net::Ipv4Addr;
use kernel::prelude::*;
use ktcp_server::{
    testing,
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
    type: Conversing,
    name: "conversing",
    authors: ["The ktcp_server authors"],
    description: "Handlers that play clients",
    license: "GPL",
}

ktcp_server::parameters! {
    struct Parameters {
        /// The executor: event_loop, workqueue or kthread; all of them if empty
        only: Text<16> = Text::new(""),
        /// TCP port of the first server, behind which are those of the next
        port: u16 = 12345,
    }
}

/// The handler within: echoes.
struct Inner;

impl Handler for Inner {
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

struct Outer {
    name: &'static CStr,
}

impl Handler for Outer {
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
        let ended = outcome::number(testing::converse(Inner, input));
        pr_info!("{}: conversing ends with {}\n", self.name, ended);
        output.forward(input);
        Ok(Next::Close)
    }
}

struct Conversing {
    _servers: KVec<KernelTcpServer>,
}

impl kernel::Module for Conversing {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let set = Parameters::read()?;
        let mut servers = KVec::new();
        for (number, variant) in variants::chosen(&set.only) {
            if !variant.may_sleep {
                continue;
            }
            let addr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, set.port + number));
            let server = KernelTcpServer::builder(variant.name)
                .listen(addr)
                .executor(variant.executor)
                .start(module, Outer { name: variant.name })?;
            servers.push(server, GFP_KERNEL)?;
        }
        Ok(Self { _servers: servers })
    }
}
