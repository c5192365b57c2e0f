// SPDX-License-Identifier: GPL-2.0

//! An HTTP server: it gives out the files of a directory tree.
//!
//! | file | what it is |
//! |---|---|
//! | `http/` | the protocol, apart from sockets, files and the kernel |
//! | `site.rs` | what there is to be had |
//! | `content.rs` | the contents of responses, and how they get to the socket |
//! | `cache.rs` | small files, kept in memory |
//! | `listing.rs`, `stats.rs`, `page.rs` | pages that are made |

use core::time::Duration;
use kernel::{
    prelude::*,
    str::CString,
    time::Delta, //
};
use ktcp_server::{
    fs::Directory,
    CloseReason,
    Executor,
    Handler,
    Input,
    KernelTcpServer,
    Next,
    Output,
    Peer,
    Text, //
};

mod cache;
mod content;
pub mod http;
mod listing;
mod page;
mod site;
mod stats;

use self::{
    cache::Cache,
    content::{
        Body,
        Out, //
    },
    http::{
        conversation::{
            Conversation,
            Limits,
            Step, //
        },
        site::Site, //
    },
    site::{
        AtHand,
        Tree, //
    },
    stats::Counters, //
};

module! {
    type: Khttpd,
    name: "khttpd",
    authors: ["The ktcp_server authors"],
    description: "HTTP/1.1 server inside the kernel",
    license: "GPL",
}

ktcp_server::parameters! {
    /// What the operator can set.
    struct Parameters: Listen {
        /// Directory to give out, as /srv/www; it has to be given
        root: Text<256> = Text::new(""),
        /// TCP port to listen on; 0 lets the kernel choose
        port: u16 = 8080,
        /// Who runs the connections: event_loop, workqueue or kthread
        executor: Executor = Executor::EventLoop,
        /// Whether directories without an index.html are listed
        listings: bool = true,
        /// Whether there is a status page, /_ktcp/stats
        stats: bool = false,
        /// Small files that are kept in memory; 0 is none
        cache: u32 [0..=65_536] = 1024,
        /// Milliseconds for which such a file is believed to be as it was found
        cache_ms: u32 [0..=3_600_000] = 1000,
        /// Bytes of content that a request may bring
        max_content: u64 [0..=1_099_511_627_776] = 1 << 20,
        /// Connections that may be open at once
        max_connections: u32 [1..=16_777_216] = 10_000,
        /// Connections that one peer may have open at once; 0 is no limit
        max_per_peer: u32 [0..=16_777_216] = 0,
        /// Leading bits of an IPv4 address that are one peer
        peer_prefix_v4: u8 [1..=32] = 32,
        /// Leading bits of an IPv6 address that are one peer
        peer_prefix_v6: u8 [1..=128] = 64,
        /// Connections that may wait to be accepted
        backlog: u16 [1..=65_535] = 1024,
        /// Milliseconds of silence after which a connection is closed
        idle_timeout_ms: u32 [1..=86_400_000] = 60_000,
        /// Milliseconds within which the head of a request is to come, and its content
        receive_timeout_ms: u32 [1..=86_400_000] = 20_000,
        /// Milliseconds without taking a byte after which a client is given up
        send_timeout_ms: u32 [1..=86_400_000] = 20_000,
    }
}

struct Http {
    tree: Tree,
    limits: Limits,
}

impl Handler for Http {
    type Session = Conversation<Body>;

    /// For the files that are kept.
    const TRIES_FIRST: bool = true;

    fn open(&self, _peer: &Peer<'_>) -> Result<Self::Session> {
        self.tree.counters.note_open();
        Ok(Conversation::default())
    }

    fn try_receive(
        &self,
        session: &mut Self::Session,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Option<Next>> {
        Ok(self.advance(&AtHand(&self.tree), session, input, output))
    }

    fn receive(
        &self,
        session: &mut Self::Session,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Next> {
        self.advance(&self.tree, session, input, output).ok_or(EIO)
    }

    fn end(
        &self,
        session: &mut Self::Session,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result {
        // A client that only says that it has no more to ask still wants its answers.
        match self.receive(session, input, output)? {
            Next::Reset => Err(EIO),
            _ => Ok(()),
        }
    }

    fn time_out(
        &self,
        session: &mut Self::Session,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
        _reason: CloseReason,
    ) {
        session.time_out(&self.tree, input, &mut Out(output));
    }

    fn close(&self, _session: Self::Session, _reason: CloseReason) {
        self.tree.counters.note_close();
    }
}

impl Http {
    /// Goes on with a conversation as far as `site` allows; nothing if it needs another.
    fn advance(
        &self,
        site: &impl Site<Content = Body>,
        session: &mut Conversation<Body>,
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Option<Next> {
        let (consumed, step) = session.advance(site, &self.limits, input, &mut Out(output));
        input.consume(consumed);
        match step {
            Step::Wait => Some(Next::Receive),
            Step::Close => Some(Next::Close),
            Step::Reset => Some(Next::Reset),
            Step::HalfClose => Some(Next::HalfClose),
            Step::Elsewhere => None,
        }
    }
}

struct Khttpd {
    _server: KernelTcpServer,
}

impl kernel::Module for Khttpd {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let set = Parameters::read()?;
        let handler = Http {
            tree: Tree {
                root: open_root(set.root.as_str())?,
                cache: Cache::new(set.cache as usize, set.cache_ms)?,
                counters: Counters::new(),
                listings: set.listings,
                stats: set.stats,
            },
            limits: Limits {
                content: set.max_content,
                time: Duration::from_millis(set.receive_timeout_ms.into()),
            },
        };
        let millis = |millis: u32| Delta::from_millis(millis.into());
        let mut server = set
            .builder(c"khttpd")
            .backlog(set.backlog)
            .executor(set.executor)
            .max_connections(set.max_connections)
            .peer_prefix_v4(set.peer_prefix_v4)
            .peer_prefix_v6(set.peer_prefix_v6)
            .idle_timeout(millis(set.idle_timeout_ms))
            .receive_timeout(millis(set.receive_timeout_ms))
            .send_timeout(millis(set.send_timeout_ms));
        if set.max_per_peer > 0 {
            server = server.max_per_peer(set.max_per_peer);
        }
        let server = server.start(module, handler)?;
        let (root, addr) = (set.root.as_str(), server.local_addr());
        pr_info!("{root} at http://{addr:?}/\n");
        Ok(Self { _server: server })
    }
}

fn open_root(name: &str) -> Result<Directory> {
    if name.is_empty() {
        pr_err!("root is not given: the directory to give out, as root=/srv/www\n");
        return Err(EINVAL);
    }
    Directory::open(&CString::try_from_fmt(fmt!("{name}"))?)
        .inspect_err(|error| pr_err!("root={name} cannot be opened: {error:?}\n"))
}
