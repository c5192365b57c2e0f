// SPDX-License-Identifier: GPL-2.0

//! What came of a load: for a person, as JSON and as CSV.

mod csv;
mod text;

pub use text::number;

use crate::{
    failure::Failures,
    plan::{Limit, Plan, Protocol},
    run::Outcome,
    tally::Reconnects,
    watch::Busy,
};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::ops::Deref;

/// Times in nanoseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Times {
    pub count: u64,
    pub mean: f64,
    pub min: u64,
    pub p50: u64,
    pub p90: u64,
    pub p99: u64,
    pub p99_9: u64,
    pub max: u64,
}

impl From<&Histogram<u64>> for Times {
    fn from(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| histogram.value_at_quantile(quantile);
        Self {
            count: histogram.len(),
            mean: histogram.mean(),
            min: if histogram.is_empty() {
                0
            } else {
                histogram.min()
            },
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: histogram.max(),
        }
    }
}

/// How the load was set up.
#[derive(Clone, Debug, Serialize)]
pub struct Settings {
    pub server: String,
    /// Of requests of HTTP.
    pub path: Option<String>,
    pub connections: usize,
    pub idle: usize,
    pub size: u64,
    pub depth: u64,
    pub threads: usize,
    pub verify: bool,
    pub reconnect: bool,
    pub rounds: Option<u64>,
    /// Messages a second of an open loop; none of a closed one.
    pub rate: Option<f64>,
}

impl Settings {
    fn new(plan: &Plan, outcome: &Outcome) -> Self {
        Self {
            server: outcome.server.to_string(),
            path: match &plan.protocol {
                Protocol::Echo { .. } => None,
                Protocol::Http { path, .. } => Some(path.clone()),
            },
            connections: plan.connections,
            idle: plan.idle,
            size: plan.size,
            depth: plan.depth,
            threads: plan.threads,
            verify: matches!(plan.protocol, Protocol::Echo { verify: true }),
            reconnect: plan.reconnect,
            rounds: match plan.limit {
                Limit::Rounds(rounds) => Some(rounds),
                Limit::Time(_) | Limit::Requests(_) => None,
            },
            rate: plan.rate,
        }
    }
}

/// The making of the connections.
#[derive(Clone, Debug, Serialize)]
pub struct Connects {
    pub seconds: f64,
    pub times_ns: Times,
    pub failures: Failures,
}

/// The messages and their answers.
#[derive(Clone, Debug, Serialize)]
pub struct Answers {
    pub seconds: f64,
    pub count: u64,
    pub per_second: f64,
    /// Of echoes in one direction, of responses what is in them.
    pub bytes_per_second: f64,
    /// Of the messages that were answered. In an open loop also of those that were not, with the
    /// time that they have waited: no quantile is better than what a client saw.
    pub times_ns: Times,
    pub failures: Failures,
    /// Connections that took the place of one that the server had closed after an answer.
    pub reconnects: Reconnects,
    /// Messages that had no answer when the time was over.
    pub unanswered: u64,
    /// Messages of an open loop that were due, and never sent.
    pub unsent: u64,
    /// Connections that never had an answer.
    pub starved: u64,
}

/// The answers, under the name of the protocol.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answered {
    Echo(Answers),
    Http(Answers),
}

impl Deref for Answered {
    type Target = Answers;

    fn deref(&self) -> &Answers {
        match self {
            Self::Echo(answers) | Self::Http(answers) => answers,
        }
    }
}

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    pub ktcp_bench: &'static str,
    pub settings: Settings,
    pub connect: Connects,
    #[serde(flatten)]
    pub answered: Answered,
    pub busy: Option<Busy>,
    pub interrupted: bool,
}

impl Report {
    pub fn new(plan: &Plan, outcome: &Outcome) -> Self {
        let tally = &outcome.tally;
        let seconds = outcome.counted.as_secs_f64();
        let times = Times::from(&tally.answers);
        let per_second = if seconds > 0.0 {
            tally.answered as f64 / seconds
        } else {
            0.0
        };
        let size = match plan.protocol {
            Protocol::Echo { .. } => plan.size as f64,
            Protocol::Http { .. } => tally.content as f64 / tally.responses.max(1) as f64,
        };
        let answers = Answers {
            seconds,
            count: tally.answered,
            per_second,
            bytes_per_second: per_second * size,
            times_ns: times,
            failures: tally.failures.clone(),
            reconnects: tally.reconnects,
            unanswered: tally.unanswered,
            unsent: tally.unsent,
            starved: tally.starved,
        };
        Self {
            ktcp_bench: env!("CARGO_PKG_VERSION"),
            settings: Settings::new(plan, outcome),
            connect: Connects {
                seconds: outcome.connecting.as_secs_f64(),
                times_ns: (&tally.connects).into(),
                failures: tally.not_connected.clone(),
            },
            answered: match plan.protocol {
                Protocol::Echo { .. } => Answered::Echo(answers),
                Protocol::Http { .. } => Answered::Http(answers),
            },
            busy: outcome.busy,
            interrupted: outcome.interrupted,
        }
    }

    /// Whether every connection was made and every message answered.
    pub fn is_flawless(&self) -> bool {
        let failures = self.connect.failures.total() + self.answered.failures.total();
        let without = self.answered.unanswered + self.answered.unsent;
        failures == 0 && without == 0 && self.answered.count > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_histogram_has_no_minimum() {
        let times = Times::from(&crate::tally::histogram());
        assert_eq!((times.count, times.min, times.max), (0, 0, 0));
    }
}
