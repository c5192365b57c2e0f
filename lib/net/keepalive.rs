// SPDX-License-Identifier: GPL-2.0

//! Keepalive probes of a connection.

use core::fmt::{
    Display,
    Formatter,
    Result as Written, //
};
use kernel::prelude::*;

/// Times at which a silent peer is asked whether it is still there, and when it is given up
/// (RFC 9293, section 3.8.4).
///
/// A dead peer is noticed after `idle + interval * probes` seconds; the connection then fails with
/// `ETIMEDOUT`.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use ktcp_server::net::Keepalive;
///
/// // A peer that has vanished is noticed after two minutes.
/// let keepalive = Keepalive::new(60, 10, 6)?;
/// assert_eq!(keepalive.probes(), 6);
/// assert_eq!(Keepalive::new(60, 0, 6), Err(EINVAL));
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    idle: u16,
    interval: u16,
    probes: u8,
}

impl Keepalive {
    /// The most seconds that the kernel takes.
    pub const MAX_SECONDS: u16 = 32767;
    /// The most probes that the kernel takes.
    pub const MAX_PROBES: u8 = 127;

    /// The first probe is sent after `idle` seconds of silence, further ones every `interval`
    /// seconds; after `probes` of them without an answer the peer is given up.
    ///
    /// # Errors
    ///
    /// `EINVAL` unless both times are 1 to [`MAX_SECONDS`](Self::MAX_SECONDS) and `probes` is 1 to
    /// [`MAX_PROBES`](Self::MAX_PROBES).
    ///
    /// Any context.
    pub const fn new(idle: u16, interval: u16, probes: u8) -> Result<Self> {
        if idle == 0
            || idle > Self::MAX_SECONDS
            || interval == 0
            || interval > Self::MAX_SECONDS
            || probes == 0
            || probes > Self::MAX_PROBES
        {
            return Err(EINVAL);
        }
        Ok(Self {
            idle,
            interval,
            probes,
        })
    }

    /// Seconds of silence before the first probe. Any context.
    pub const fn idle(&self) -> u16 {
        self.idle
    }

    /// Seconds between probes. Any context.
    pub const fn interval(&self) -> u16 {
        self.interval
    }

    /// Returns how many probes stay unanswered before the peer is given up. Any context.
    pub const fn probes(&self) -> u8 {
        self.probes
    }
}

/// As an operator writes it: `60:10:6`.
impl Display for Keepalive {
    fn fmt(&self, f: &mut Formatter<'_>) -> Written {
        write!(f, "{}:{}:{}", self.idle, self.interval, self.probes)
    }
}
