// SPDX-License-Identifier: GPL-2.0

//! What is to be done, once the command line has been understood.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// When the load ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// After that time.
    Time(Duration),
    /// After that many answers.
    Requests(u64),
    /// All connections send a message at the same moment and wait until all are answered; that
    /// many times.
    Rounds(u64),
}

/// What is asked, and what answers it.
#[derive(Clone, Debug)]
pub enum Protocol {
    /// Messages that come back, and are compared if `verify`.
    Echo { verify: bool },
    /// A request of HTTP, again and again; the path is for the report.
    Http { path: String, request: Vec<u8> },
}

impl Protocol {
    /// What answers are called.
    pub fn answers(&self) -> &'static str {
        match self {
            Self::Echo { .. } => "echoes",
            Self::Http { .. } => "responses",
        }
    }
}

/// A load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server as it was named.
    pub server: String,
    /// The addresses of that name; each connection tries one after the other.
    pub to: Vec<SocketAddr>,
    /// Addresses to connect from, in turn; none lets the kernel choose.
    pub from: Vec<IpAddr>,
    pub connections: usize,
    /// Connections that exchange one message before the load begins, and none afterwards.
    pub idle: usize,
    pub protocol: Protocol,
    /// Bytes of a message, or of a request.
    pub size: u64,
    /// Messages that a connection has under way.
    pub depth: u64,
    pub limit: Limit,
    /// Messages a second that are due by the clock (open loop); without it, a message is sent when
    /// the one before it is answered (closed loop).
    pub rate: Option<f64>,
    /// What happens in this time is not counted.
    pub warm_up: Duration,
    pub threads: usize,
    /// Connect, exchange one message, close, and again.
    pub reconnect: bool,
    /// How long a connection or an answer may take.
    pub timeout: Duration,
}

impl Plan {
    /// How many threads `wanted` ones come down to: one without a connection, or without a message to
    /// count, would only keep time.
    pub fn threads(wanted: usize, connections: usize, limit: Limit) -> usize {
        let messages = match limit {
            Limit::Requests(requests) => usize::try_from(requests).unwrap_or(usize::MAX),
            Limit::Time(_) | Limit::Rounds(_) => usize::MAX,
        };
        wanted.min(connections).min(messages)
    }
}

/// The part of `total` that falls to number `index` of `parts`: they differ by one at most.
pub fn share(total: usize, parts: usize, index: usize) -> usize {
    total / parts + usize::from(index < total % parts)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_add_up() {
        for total in 0..50 {
            for parts in 1..9 {
                let shares: Vec<_> = (0..parts).map(|i| share(total, parts, i)).collect();
                assert_eq!(shares.iter().sum::<usize>(), total);
                assert!(shares[0] - shares[parts - 1] <= 1);
            }
        }
    }
}
