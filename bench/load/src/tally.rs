// SPDX-License-Identifier: GPL-2.0

//! What a thread counts.

use crate::failure::Failures;
use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest time that is told apart: ten minutes.
const LONGEST_NS: u64 = 600_000_000_000;

/// Times in nanoseconds, with three significant digits.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("the bounds are constants that are valid")
}

/// Connections that took the place of one that the server had closed after an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Reconnects {
    /// The server had said that it would close: `Connection: close`, or HTTP/1.0.
    pub announced: u64,
    /// It had not.
    pub unannounced: u64,
}

impl Reconnects {
    pub fn total(&self) -> u64 {
        self.announced + self.unannounced
    }
}

/// What one thread saw; those of all threads are added up.
pub struct Tally {
    /// How long each connection took to be made.
    pub connects: Histogram<u64>,
    /// From each message to its answer; with `reconnect`, from the call of connect(2). In an open
    /// loop from when the message was due, and those without an answer are in it with the time that
    /// they have waited.
    pub answers: Histogram<u64>,
    /// Answers that were counted.
    pub answered: u64,
    pub reconnects: Reconnects,
    /// Connections that could not be made.
    pub not_connected: Failures,
    /// Connections that ended badly after they had been made.
    pub failures: Failures,
    /// Connections that stood and never got an answer.
    pub starved: u64,
    /// Messages that had no answer when the time was over.
    pub unanswered: u64,
    /// Messages of an open loop that were due, and never sent.
    pub unsent: u64,
    /// Responses of HTTP, counted or not, and the bytes of content in them.
    pub responses: u64,
    pub content: u64,
    /// When counting began.
    pub first_counted: u64,
    /// When the last answer came that was counted.
    pub last_answer: u64,
}

impl Tally {
    pub fn new() -> Self {
        Self {
            connects: histogram(),
            answers: histogram(),
            answered: 0,
            reconnects: Reconnects::default(),
            not_connected: Failures::default(),
            failures: Failures::default(),
            starved: 0,
            unanswered: 0,
            unsent: 0,
            responses: 0,
            content: 0,
            first_counted: u64::MAX,
            last_answer: 0,
        }
    }

    pub fn add(&mut self, other: &Self) {
        // The bounds are the same.
        self.connects += &other.connects;
        self.answers += &other.answers;
        self.answered += other.answered;
        self.reconnects.announced += other.reconnects.announced;
        self.reconnects.unannounced += other.reconnects.unannounced;
        self.not_connected.add(&other.not_connected);
        self.failures.add(&other.failures);
        self.starved += other.starved;
        self.unanswered += other.unanswered;
        self.unsent += other.unsent;
        self.responses += other.responses;
        self.content += other.content;
        self.first_counted = self.first_counted.min(other.first_counted);
        self.last_answer = self.last_answer.max(other.last_answer);
    }
}
