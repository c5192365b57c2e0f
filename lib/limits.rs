// SPDX-License-Identifier: GPL-2.0

//! How many connections a server takes in.

use core::net::IpAddr;
use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    }, //
};

/// The limits of a server.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    /// For each address of a peer; `None` is no limit.
    pub(crate) per_peer: Option<usize>,
}

/// Why a newcomer is not taken in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The server has as many connections as it may have.
    Full,
    /// The peer's address has.
    PeerFull,
    /// Somebody else watches the socket already.
    InUse,
    /// Something else that the newcomer needs is not to be had.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// How many connections each address has.
pub(crate) struct Shares {
    /// Empty unless there is a limit for each peer.
    by_peer: RBTree<[u8; 16], usize>,
}

/// One key for an address, whether it comes by IPv4 or mapped into IPv6 (RFC 4291, 2.5.5.2).
fn key(peer: IpAddr) -> [u8; 16] {
    match peer {
        IpAddr::V4(addr) => addr.to_ipv6_mapped().octets(),
        IpAddr::V6(addr) => addr.octets(),
    }
}

impl Shares {
    pub(crate) fn new() -> Self {
        Self {
            by_peer: RBTree::new(),
        }
    }

    /// Takes a place for a connection of `peer` beside the `open` ones there are. May sleep.
    pub(crate) fn take(
        &mut self,
        peer: IpAddr,
        open: usize,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        if open >= limits.connections {
            return Err(Refusal::Full);
        }
        let Some(per_peer) = limits.per_peer else {
            return Ok(());
        };
        match self.by_peer.get_mut(&key(peer)) {
            Some(count) if *count >= per_peer => return Err(Refusal::PeerFull),
            Some(count) => *count += 1,
            None => {
                let node = RBTreeNode::new(key(peer), 1, GFP_KERNEL)?;
                self.by_peer.insert(node);
            }
        }
        Ok(())
    }

    /// Gives a place back.
    pub(crate) fn give_back(&mut self, peer: IpAddr) {
        let key = key(peer);
        match self.by_peer.get_mut(&key) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => drop(self.by_peer.remove(&key)),
            None => {}
        }
    }
}
