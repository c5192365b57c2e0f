// SPDX-License-Identifier: GPL-2.0

//! An echo server on which everything can be set, for tests.

use core::net::{
    IpAddr,
    Ipv4Addr, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use ktcp_server::{
    BufferSize,
    Executor,
    Handler,
    Input,
    KernelTcpServer,
    Next,
    Output,
    Peer,
    SocketAddr, //
};

module! {
    type: Proving,
    name: "proving",
    authors: ["The ktcp_server authors"],
    description: "An echo server on which everything can be set",
    license: "GPL",
}

ktcp_server::parameters! {
    /// What a test can set.
    struct Parameters {
        /// Address to listen on
        addr: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        /// TCP port to listen on
        port: u16 = 12345,
        /// Who runs the connections: event_loop, workqueue or kthread
        executor: Executor = Executor::EventLoop,
        /// Whether the handler is one that may sleep
        may_sleep: bool = true,
        /// Bytes of an input buffer
        input: BufferSize = BufferSize::of::<65536>(),
        /// Bytes of an output buffer
        output: BufferSize = BufferSize::of::<65536>(),
        /// Connections at most
        connections: u32 = 10_000,
        /// Connections that may wait to be accepted
        backlog: u16 = 128,
        /// Whether to speak Multipath TCP
        mptcp: bool = false,
        /// Idle timeout; 0 is none
        idle_ms: u32 = 0,
        /// How long the end of the server waits for what is to be sent
        drain_ms: u32 = 5000,
        /// The first so many calls of the handler sleep until there is one more, a minute at most
        sleepers: u32 = 0,
        /// Whether to leak some memory, for who claims to see that
        leak: bool = false,
    }
}

struct Echo<const MAY_SLEEP: bool> {
    sleepers: u32,
    calls: Atomic<u32>,
}

impl<const MAY_SLEEP: bool> Echo<MAY_SLEEP> {
    fn new(sleepers: u32) -> Self {
        Self {
            sleepers,
            calls: Atomic::new(0),
        }
    }

    fn maybe_sleep(&self) {
        if self.calls.fetch_add(1, Relaxed) >= self.sleepers {
            return;
        }
        for _ in 0..60 {
            if self.calls.load(Relaxed) > self.sleepers {
                return;
            }
            fsleep(Delta::from_secs(1));
        }
    }
}

impl<const MAY_SLEEP: bool> Handler for Echo<MAY_SLEEP> {
    type Session = ();

    const MAY_SLEEP: bool = MAY_SLEEP;

    fn open(&self, _peer: &Peer<'_>) -> Result {
        Ok(())
    }

    fn receive(
        &self,
        _session: &mut (),
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Next> {
        if MAY_SLEEP && self.sleepers > 0 {
            self.maybe_sleep();
        }
        output.forward(input);
        Ok(Next::Receive)
    }
}

struct Proving {
    _server: KernelTcpServer,
}

impl kernel::Module for Proving {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let set = Parameters::read()?;
        if set.leak {
            // Some, for to one of them a pointer may be left somewhere.
            for _ in 0..10 {
                core::mem::forget(KBox::new([*b"leaked by intent"; 6], GFP_KERNEL)?);
            }
        }
        let mut builder = KernelTcpServer::builder(c"proving")
            .listen(SocketAddr::new(set.addr, set.port))
            .executor(set.executor)
            .backlog(set.backlog)
            .mptcp(set.mptcp)
            .input_buffer(set.input)
            .output_buffer(set.output)
            .max_connections(set.connections)
            .drain(Delta::from_millis(set.drain_ms.into()));
        if set.idle_ms > 0 {
            builder = builder.idle_timeout(Delta::from_millis(set.idle_ms.into()));
        }
        Ok(Self {
            _server: if set.may_sleep {
                builder.start(module, Echo::<true>::new(set.sleepers))?
            } else {
                builder.start(module, Echo::<false>::new(0))?
            },
        })
    }
}
