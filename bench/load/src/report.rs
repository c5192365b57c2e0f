// SPDX-License-Identifier: GPL-2.0

//! What came of a load: for a person, as JSON and as CSV.

use crate::{
    failure::Failures,
    plan::{Limit, Plan, Protocol},
    run::Outcome,
    watch::Busy,
};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::{
    fmt::{self, Write as _},
    ops::Deref,
};

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
}

impl From<&Plan> for Settings {
    fn from(plan: &Plan) -> Self {
        Self {
            server: plan.to.to_string(),
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
    pub per_second: f64,
    /// Of echoes in one direction, of responses what is in them.
    pub bytes_per_second: f64,
    pub times_ns: Times,
    pub failures: Failures,
    /// Messages that had no answer when the time was over.
    pub unanswered: u64,
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
            times.count as f64 / seconds
        } else {
            0.0
        };
        let size = match plan.protocol {
            Protocol::Echo { .. } => plan.size as f64,
            Protocol::Http { .. } => tally.content as f64 / tally.responses.max(1) as f64,
        };
        let answers = Answers {
            seconds,
            per_second,
            bytes_per_second: per_second * size,
            times_ns: times,
            failures: tally.failures.clone(),
            unanswered: tally.unanswered,
            starved: tally.starved,
        };
        Self {
            ktcp_bench: env!("CARGO_PKG_VERSION"),
            settings: plan.into(),
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
        failures == 0 && self.answered.unanswered == 0 && self.answered.times_ns.count > 0
    }

    /// The line of the names, and the line of the values.
    pub fn csv(&self) -> [String; 2] {
        let (settings, answers) = (&self.settings, &*self.answered);
        let times = &answers.times_ns;
        let columns: [(&str, String); 23] = [
            ("server", settings.server.clone()),
            ("path", settings.path.clone().unwrap_or_default()),
            ("connections", settings.connections.to_string()),
            ("idle", settings.idle.to_string()),
            ("size", settings.size.to_string()),
            ("depth", settings.depth.to_string()),
            ("threads", settings.threads.to_string()),
            ("reconnect", settings.reconnect.to_string()),
            ("connected", self.connect.times_ns.count.to_string()),
            (
                "connect_mean_ns",
                format!("{:.0}", self.connect.times_ns.mean),
            ),
            ("not_connected", self.connect.failures.total().to_string()),
            ("seconds", format!("{:.6}", answers.seconds)),
            ("answers", times.count.to_string()),
            ("per_second", format!("{:.1}", answers.per_second)),
            ("mean_ns", format!("{:.0}", times.mean)),
            ("min_ns", times.min.to_string()),
            ("p50_ns", times.p50.to_string()),
            ("p90_ns", times.p90.to_string()),
            ("p99_ns", times.p99.to_string()),
            ("p99_9_ns", times.p99_9.to_string()),
            ("max_ns", times.max.to_string()),
            ("failed", answers.failures.total().to_string()),
            ("unanswered", answers.unanswered.to_string()),
        ];
        [
            columns.each_ref().map(|(name, _)| *name).join(","),
            columns.map(|(_, value)| value).join(","),
        ]
    }
}

/// A time that a person can read: three digits and a unit.
pub fn duration(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        ns if ns < 1e3 => (ns, "ns"),
        ns if ns < 1e6 => (ns / 1e3, "µs"),
        ns if ns < 1e9 => (ns / 1e6, "ms"),
        ns => (ns / 1e9, "s"),
    };
    let digits = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.digits$} {unit}")
}

/// A whole number with commas.
pub fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes that a person can read.
fn bytes(value: f64) -> String {
    match value {
        b if b < 1e3 => format!("{b:.0} B"),
        b if b < 1e6 => format!("{:.1} kB", b / 1e3),
        b if b < 1e9 => format!("{:.1} MB", b / 1e6),
        b => format!("{:.2} GB", b / 1e9),
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    writeln!(f, "  {name:<12}{text}")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (connect, answers) = (&self.connect, &*self.answered);
        let times = &answers.times_ns;
        let (name, way) = match self.answered {
            Answered::Echo(_) => ("echoes", "each way"),
            Answered::Http(_) => ("responses", "of content"),
        };
        let mut made = format!(
            "{} in {}",
            number(connect.times_ns.count),
            duration(connect.seconds * 1e9)
        );
        if connect.times_ns.count > 0 {
            let of = &connect.times_ns;
            write!(
                made,
                "; one takes {} (99 % at most {})",
                duration(of.mean),
                duration(of.p99 as f64)
            )?;
        }
        row(f, "connections", &made)?;
        if connect.failures.total() > 0 {
            row(f, "", &format!("not made: {}", connect.failures))?;
        }
        row(
            f,
            name,
            &format!(
                "{} in {}: {} a second, {}/s {way}",
                number(times.count),
                duration(answers.seconds * 1e9),
                number(answers.per_second.round() as u64),
                bytes(answers.bytes_per_second)
            ),
        )?;
        if times.count > 0 {
            let quantiles = [
                ("min", times.min),
                ("p50", times.p50),
                ("p90", times.p90),
                ("p99", times.p99),
                ("p99.9", times.p99_9),
                ("max", times.max),
            ];
            let mut text = format!("mean {}", duration(times.mean));
            for (name, value) in quantiles {
                write!(text, "   {name} {}", duration(value as f64))?;
            }
            row(f, "time", &text)?;
        }
        row(f, "failures", &answers.failures.to_string())?;
        if answers.unanswered > 0 {
            let text = format!(
                "{} messages, on {} connections that never had an answer and on others",
                number(answers.unanswered),
                number(answers.starved)
            );
            row(f, "unanswered", &text)?;
        }
        if let Some(busy) = &self.busy {
            let percent = |part: f64| format!("{:.0} %", 100.0 * part);
            let text = format!(
                "of one CPU: load generator {}, server {}, the whole machine {}",
                percent(busy.load),
                percent(busy.watched),
                percent(busy.machine)
            );
            row(f, "busy", &text)?;
        }
        if self.interrupted {
            row(f, "note", "interrupted: the figures are of the time before")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        let shown = [0.0, 7.0, 999.0, 1_234.0, 56_789.0, 567_890.0, 12e6, 3.21e9];
        let texts = shown.map(duration);
        assert_eq!(
            texts,
            [
                "0.00 ns", "7.00 ns", "999 ns", "1.23 µs", "56.8 µs", "568 µs", "12.0 ms", "3.21 s"
            ]
        );
    }

    #[test]
    fn numbers_have_commas() {
        assert_eq!(
            [0, 12, 999, 1000, 1234567].map(number),
            ["0", "12", "999", "1,000", "1,234,567"]
        );
    }

    #[test]
    fn an_empty_histogram_has_no_minimum() {
        let times = Times::from(&crate::tally::histogram());
        assert_eq!((times.count, times.min, times.max), (0, 0, 0));
    }
}
