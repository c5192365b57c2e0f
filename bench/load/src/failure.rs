// SPDX-License-Identifier: GPL-2.0

//! What can go wrong with a connection, and how often it did.

use serde::Serialize;
use std::{fmt, io};

/// Why a connection came to a bad end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Nobody listens there.
    Refused,
    /// The peer, or the kernel on its behalf, reset the connection.
    Reset,
    /// The peer closed the connection before it answered.
    Closed,
    /// No connection, or no answer, within the time allowed.
    TimedOut,
    /// What came back is not what was sent.
    Corrupt,
    /// More came back than was asked for.
    Surplus,
    /// The answer has another status than 200.
    Status,
    /// The answer is no response of HTTP that tells its length.
    Malformed,
    /// This machine could not make the connection: out of ports, descriptors or memory.
    Local(i32),
    /// Anything else.
    Other(i32),
}

impl Failure {
    /// Returns true if the peer ended the connection, and nothing else was wrong.
    pub fn is_end(self) -> bool {
        matches!(self, Self::Closed | Self::Reset)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind as Kind;
        match error.kind() {
            Kind::ConnectionRefused => Self::Refused,
            Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe => Self::Reset,
            Kind::TimedOut => Self::TimedOut,
            Kind::AddrNotAvailable | Kind::OutOfMemory => {
                Self::Local(error.raw_os_error().unwrap_or(0))
            }
            _ => match rustix::io::Errno::from_io_error(&error) {
                Some(errno @ (rustix::io::Errno::MFILE | rustix::io::Errno::NFILE)) => {
                    Self::Local(errno.raw_os_error())
                }
                _ => Self::Other(error.raw_os_error().unwrap_or(0)),
            },
        }
    }
}

/// How many connections came to which bad end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Failures {
    pub refused: u64,
    pub reset: u64,
    pub closed: u64,
    pub timed_out: u64,
    pub corrupt: u64,
    pub surplus: u64,
    pub status: u64,
    pub malformed: u64,
    pub local: u64,
    pub other: u64,
    /// What the system said last about `local` or `other`.
    pub last_error: Option<String>,
}

impl Failures {
    pub fn count(&mut self, failure: Failure) {
        *match failure {
            Failure::Refused => &mut self.refused,
            Failure::Reset => &mut self.reset,
            Failure::Closed => &mut self.closed,
            Failure::TimedOut => &mut self.timed_out,
            Failure::Corrupt => &mut self.corrupt,
            Failure::Surplus => &mut self.surplus,
            Failure::Status => &mut self.status,
            Failure::Malformed => &mut self.malformed,
            Failure::Local(_) => &mut self.local,
            Failure::Other(_) => &mut self.other,
        } += 1;
        if let Failure::Local(errno) | Failure::Other(errno) = failure {
            self.last_error = Some(io::Error::from_raw_os_error(errno).to_string());
        }
    }

    pub fn add(&mut self, other: &Self) {
        self.refused += other.refused;
        self.reset += other.reset;
        self.closed += other.closed;
        self.timed_out += other.timed_out;
        self.corrupt += other.corrupt;
        self.surplus += other.surplus;
        self.status += other.status;
        self.malformed += other.malformed;
        self.local += other.local;
        self.other += other.other;
        if other.last_error.is_some() {
            self.last_error.clone_from(&other.last_error);
        }
    }

    fn named(&self) -> [(u64, &'static str); 10] {
        [
            (self.refused, "refused"),
            (self.reset, "reset"),
            (self.closed, "closed by the server"),
            (self.timed_out, "timed out"),
            (self.corrupt, "answered with wrong bytes"),
            (self.surplus, "answered with more than was asked for"),
            (self.status, "answered with another status than 200"),
            (self.malformed, "answered with no response of known length"),
            (self.local, "not possible on this machine"),
            (self.other, "failed otherwise"),
        ]
    }

    pub fn total(&self) -> u64 {
        self.named().iter().map(|(count, _)| count).sum()
    }
}

impl fmt::Display for Failures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for (count, name) in self.named().into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{}{count} {name}", if first { "" } else { ", " })?;
            first = false;
        }
        if first {
            f.write_str("none")?;
        }
        match &self.last_error {
            Some(error) => write!(f, " ({error})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_is_counted_and_named() {
        let mut failures = Failures::default();
        assert_eq!(failures.to_string(), "none");
        for failure in [
            Failure::Refused,
            Failure::Reset,
            Failure::Closed,
            Failure::TimedOut,
            Failure::Corrupt,
            Failure::Surplus,
            Failure::Status,
            Failure::Malformed,
            Failure::Local(24),
            Failure::Other(5),
        ] {
            let before = failures.total();
            failures.count(failure);
            assert_eq!(failures.total(), before + 1);
        }
        let mut twice = failures.clone();
        twice.add(&failures);
        assert_eq!(twice.total(), 2 * failures.total());
        assert!(twice.to_string().starts_with("2 refused, 2 reset"));
        assert!(twice.to_string().contains("Input/output error"));
    }

    #[test]
    fn errors_of_the_system_are_told_apart() {
        let from = |errno| Failure::from(io::Error::from_raw_os_error(errno));
        use rustix::io::Errno;
        assert_eq!(from(Errno::CONNREFUSED.raw_os_error()), Failure::Refused);
        assert_eq!(from(Errno::CONNRESET.raw_os_error()), Failure::Reset);
        assert_eq!(from(Errno::PIPE.raw_os_error()), Failure::Reset);
        assert_eq!(from(Errno::TIMEDOUT.raw_os_error()), Failure::TimedOut);
        let no_port = Errno::ADDRNOTAVAIL.raw_os_error();
        assert_eq!(from(no_port), Failure::Local(no_port));
        let no_descriptor = Errno::MFILE.raw_os_error();
        assert_eq!(from(no_descriptor), Failure::Local(no_descriptor));
        assert_eq!(from(Errno::IO.raw_os_error()), Failure::Other(5));
    }
}
