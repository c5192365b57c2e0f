// SPDX-License-Identifier: GPL-2.0

//! An echo server (RFC 862): every byte that a client sends comes back to it, an urgent one (`MSG_OOB`)
//! in its place, as one that is not urgent.

use kernel::{
    prelude::*,
    time::Delta, //
};
use ktcp_server::{
    BufferSize,
    Executor,
    Handler,
    Input,
    KernelTcpServer,
    Next,
    Output,
    Peer, //
};

module! {
    type: Kecho,
    name: "kecho",
    authors: ["The ktcp_server authors"],
    description: "TCP echo server inside the kernel",
    license: "GPL",
}

ktcp_server::parameters! {
    /// The parameters of `insmod`.
    struct Parameters: Listen {
        /// TCP port to listen on; 0 lets the kernel choose
        port: u16 = 12345,
        /// Connections that may wait to be accepted
        backlog: u16 [1..=65_535] = 128,
        /// Executor of the connections: event_loop, workqueue or kthread
        executor: Executor = Executor::EventLoop,
        /// Connections that may be open at once
        max_connections: u32 [1..=16_777_216] = 10_000,
        /// Connections that one peer may have open at once; 0 is no limit
        max_per_peer: u32 [0..=16_777_216] = 0,
        /// Leading bits of an IPv4 address that are one peer
        peer_prefix_v4: u8 [1..=32] = 32,
        /// Leading bits of an IPv6 address that are one peer
        peer_prefix_v6: u8 [1..=128] = 64,
        /// Milliseconds of silence after which a connection is closed; 0 is never
        idle_timeout_ms: u32 [0..=86_400_000] = 0,
        /// Milliseconds in which a peer may acknowledge nothing of what is left at the end
        close_timeout_ms: u32 [1..=86_400_000] = 60_000,
        /// Bytes of each of the two buffers of a connection in use
        buffer_size: BufferSize = BufferSize::of::<{ 64 << 10 }>(),
    }
}

struct Echo;

impl Handler for Echo {
    type Session = ();

    const MAY_SLEEP: bool = false;

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
        let set = Parameters::read()?;
        let mut server = set
            .builder(c"kecho")
            .backlog(set.backlog)
            .executor(set.executor)
            .max_connections(set.max_connections)
            .peer_prefix_v4(set.peer_prefix_v4)
            .peer_prefix_v6(set.peer_prefix_v6)
            .input_buffer(set.buffer_size)
            .output_buffer(set.buffer_size)
            .close_timeout(Delta::from_millis(set.close_timeout_ms.into()));
        if set.max_per_peer > 0 {
            server = server.max_per_peer(set.max_per_peer);
        }
        if set.idle_timeout_ms > 0 {
            server = server.idle_timeout(Delta::from_millis(set.idle_timeout_ms.into()));
        }
        let server = server.start(module, Echo)?;
        pr_info!("listening on {:?}\n", server.local_addr());
        Ok(Self { _server: server })
    }
}
