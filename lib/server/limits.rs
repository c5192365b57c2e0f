// SPDX-License-Identifier: GPL-2.0

//! Limits on the number of connections.

use crate::stats::Counter;
use core::net::IpAddr;
use kernel::{
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNode, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    }, //
};

/// The limits of a server.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    /// For each peer; `None` is no limit.
    pub(crate) per_peer: Option<usize>,
    pub(crate) prefixes: PeerPrefixes,
}

/// Number of leading bits of an address that tell one peer from another.
///
/// A host has a single IPv4 address as a rule, but as many IPv6 addresses as it likes: all those of its
/// network, 2^64.
#[derive(Clone, Copy)]
pub(crate) struct PeerPrefixes {
    pub(crate) v4: u8,
    pub(crate) v6: u8,
}

impl Default for PeerPrefixes {
    fn default() -> Self {
        Self { v4: 32, v6: 64 }
    }
}

impl PeerPrefixes {
    /// One key for a peer, whether it comes by IPv4 or mapped into IPv6 (RFC 4291, 2.5.5.2).
    fn key(&self, peer: IpAddr) -> [u8; 16] {
        let (addr, bits) = match peer.to_canonical() {
            IpAddr::V4(addr) => (addr.to_ipv6_mapped(), 96 + usize::from(self.v4)),
            IpAddr::V6(addr) => (addr, usize::from(self.v6)),
        };
        let mut key = addr.octets();
        for (index, octet) in key.iter_mut().enumerate() {
            let kept = bits.saturating_sub(8 * index).min(8);
            // CAST: The lower half of it, whose first `kept` bits are ones.
            *octet &= (0xff00_u16 >> kept) as u8;
        }
        key
    }
}

/// The reason why a newcomer is refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The server has as many connections as it may have.
    Full,
    /// The peer has as many as it may have.
    PeerFull,
    /// The socket is watched already.
    InUse,
    /// Something else that the newcomer needs is not to be had.
    Failed(Error),
}

impl Refusal {
    /// Returns the name that trace events show.
    pub(super) fn name(&self) -> &'static CStr {
        match self {
            Self::Full => c"limit",
            Self::PeerFull => c"peer_limit",
            Self::InUse => c"in_use",
            Self::Failed(_) => c"failed",
        }
    }

    /// Returns the counter of newcomers that are refused so.
    pub(super) fn counter(&self) -> Counter {
        match self {
            Self::Full => Counter::RefusedByLimit,
            Self::PeerFull => Counter::RefusedByPeerLimit,
            Self::InUse => Counter::RefusedInUse,
            Self::Failed(_) => Counter::OutOfMemory,
        }
    }

    /// Returns the error for which other newcomers would be refused, too.
    pub(super) fn error(&self) -> Option<Error> {
        match self {
            Self::Failed(error) => Some(*error),
            _ => None,
        }
    }
}

impl<E: Into<Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Newcomers that one limit has turned away, and when the log was told of them.
#[derive(Default)]
struct Notice {
    untold: u64,
    told: Option<Delta>,
}

impl Notice {
    /// The least time between two lines.
    const PAUSE: Delta = Delta::from_secs(60);

    /// Counts a newcomer at the time `now`; returns the number since the last line if it is time for one.
    fn count(&mut self, now: Delta) -> Option<u64> {
        self.untold += 1;
        if let Some(told) = self.told {
            if now < told + Self::PAUSE {
                return None;
            }
        }
        self.told = Some(now);
        Some(core::mem::take(&mut self.untold))
    }
}

/// Lines of the log on newcomers that limits turn away: one a minute for each limit at most, whatever
/// peers do.
pub(super) struct Notices {
    began: Instant<Monotonic>,
    full: Notice,
    peer_full: Notice,
}

impl Notices {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            full: Notice::default(),
            peer_full: Notice::default(),
        }
    }

    /// Notes that the server `name` with these limits has refused a newcomer.
    #[cold]
    pub(super) fn note(&mut self, name: &CStr, limits: &Limits, refusal: &Refusal) {
        let (notice, setting, limit) = match refusal {
            Refusal::Full => (&mut self.full, "max_connections", limits.connections),
            Refusal::PeerFull => (
                &mut self.peer_full,
                "max_per_peer",
                limits.per_peer.unwrap_or(0),
            ),
            Refusal::InUse | Refusal::Failed(_) => return,
        };
        if let Some(count) = notice.count(self.began.elapsed()) {
            pr_warn!("{name}: {setting}={limit} turns clients away, {count} since the last line\n");
        }
    }
}

/// Number of connections that each peer has.
pub(super) struct Shares {
    prefixes: PeerPrefixes,
    /// Empty unless there is a limit for each peer.
    by_peer: RBTree<[u8; 16], usize>,
}

impl Shares {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            prefixes: limits.prefixes,
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
        let key = self.prefixes.key(peer);
        match self.by_peer.get_mut(&key) {
            Some(count) if *count >= per_peer => return Err(Refusal::PeerFull),
            Some(count) => *count += 1,
            None => {
                let node = RBTreeNode::new(key, 1, GFP_KERNEL)?;
                self.by_peer.insert(node);
            }
        }
        Ok(())
    }

    /// Gives a place back.
    pub(crate) fn give_back(&mut self, peer: IpAddr) {
        let key = self.prefixes.key(peer);
        match self.by_peer.get_mut(&key) {
            Some(count) if *count > 1 => *count -= 1,
            Some(_) => drop(self.by_peer.remove(&key)),
            None => {}
        }
    }
}

#[kunit_tests(ktcp_limits)]
mod tests {
    use super::*;

    /// Returns true if two peers are the same one, with those prefixes.
    fn are_one(v4: u8, v6: u8, one: &str, other: &str) -> Result<bool> {
        let limits = Limits {
            connections: 10,
            per_peer: Some(1),
            prefixes: PeerPrefixes { v4, v6 },
        };
        let addr = |text: &str| text.parse::<IpAddr>().map_err(|_| EINVAL);
        let (one, other) = (addr(one)?, addr(other)?);
        let mut shares = Shares::new(&limits);
        let mut take = |peer| match shares.take(peer, 0, &limits) {
            Ok(()) => Ok(false),
            Err(Refusal::PeerFull) => Ok(true),
            Err(_) => Err(ENOMEM),
        };
        assert!(!take(one)?);
        let is_refused = take(other)?;
        // What is given back is what was taken.
        shares.give_back(one);
        if !is_refused {
            shares.give_back(other);
        }
        assert!(shares.by_peer.is_empty());
        Ok(is_refused)
    }

    #[test]
    fn the_log_hears_of_refusals_at_once_and_then_once_a_minute() {
        let mut notice = Notice::default();
        let mut count = |seconds| notice.count(Delta::from_secs(seconds));
        assert_eq!(count(5), Some(1));
        assert_eq!(count(5), None);
        assert_eq!(count(64), None);
        // These two, and this one.
        assert_eq!(count(65), Some(3));
        assert_eq!(count(66), None);
        assert_eq!(count(1000), Some(2));
    }

    #[test]
    fn a_peer_is_a_prefix() -> Result {
        for (v4, v6, one, other, expected) in [
            (32, 64, "2001:db8::1", "2001:db8::2", true),
            (32, 64, "2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true),
            (32, 64, "2001:db8::1", "2001:db8:0:1::1", false),
            (32, 56, "2001:db8::1", "2001:db8:0:ff::1", true),
            (32, 56, "2001:db8::1", "2001:db8:0:100::1", false),
            (32, 1, "::1", "7fff::1", true),
            (32, 1, "::1", "8000::1", false),
            (32, 127, "2001:db8::2", "2001:db8::3", true),
            (32, 128, "2001:db8::2", "2001:db8::3", false),
            (32, 64, "192.0.2.1", "192.0.2.1", true),
            (32, 64, "192.0.2.1", "192.0.2.2", false),
            (24, 64, "192.0.2.1", "192.0.2.255", true),
            (24, 64, "192.0.2.1", "192.0.3.1", false),
            (1, 64, "1.2.3.4", "127.0.0.1", true),
            (1, 64, "1.2.3.4", "128.0.0.1", false),
            // A mapped address is one of IPv4, whatever the prefix of the others.
            (32, 64, "192.0.2.1", "::ffff:192.0.2.1", true),
            (32, 64, "::ffff:192.0.2.1", "::ffff:192.0.2.2", false),
            (24, 128, "::ffff:192.0.2.1", "192.0.2.2", true),
            (1, 1, "0.0.0.0", "::", false),
            (1, 81, "0.0.0.0", "::fffe:0:0", false),
        ] {
            assert_eq!(are_one(v4, v6, one, other)?, expected);
            assert_eq!(are_one(v4, v6, other, one)?, expected);
        }
        Ok(())
    }
}
