// SPDX-License-Identifier: GPL-2.0

//! The summary for a person.

use super::{Answered, Answers, Report};
use std::fmt::{self, Write as _};

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
        self.connections(f)?;
        self.answers(f)?;
        if self.answered.times_ns.count > 0 {
            self.times(f)?;
        }
        self.losses(f)?;
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
        self.notes(f)
    }
}

impl Report {
    fn connections(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connect = &self.connect;
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
        let reconnects = &self.answered.reconnects;
        if reconnects.total() > 0 {
            let text = format!(
                "{} after the server had closed: {} times as announced, {} times not",
                number(reconnects.total()),
                number(reconnects.announced),
                number(reconnects.unannounced)
            );
            row(f, "reconnects", &text)?;
        }
        Ok(())
    }

    fn answers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answers: &Answers = &self.answered;
        let (name, way) = match self.answered {
            Answered::Echo(_) => ("echoes", "each way"),
            Answered::Http(_) => ("responses", "of content"),
        };
        let mut text = format!(
            "{} in {}: {} a second, {}/s {way}",
            number(answers.count),
            duration(answers.seconds * 1e9),
            number(answers.per_second.round() as u64),
            bytes(answers.bytes_per_second)
        );
        if let Some(rate) = self.settings.rate {
            write!(text, "; {rate} a second were due")?;
        }
        row(f, name, &text)
    }

    fn times(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = &self.answered.times_ns;
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
        row(f, "time", &text)
    }

    fn losses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answers: &Answers = &self.answered;
        row(f, "failures", &answers.failures.to_string())?;
        if answers.unanswered > 0 {
            let text = format!(
                "{} messages, on {} connections that never had an answer and on others",
                number(answers.unanswered),
                number(answers.starved)
            );
            row(f, "unanswered", &text)?;
        }
        if answers.unsent > 0 {
            let text = format!(
                "{} messages that were due: no connection was free, or the run was over",
                number(answers.unsent)
            );
            row(f, "unsent", &text)?;
        }
        Ok(())
    }

    fn notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.settings.rate {
            Some(_) => row(
                f,
                "open loop",
                "times count from when a message was due; they include what had no answer",
            )?,
            None => row(
                f,
                "closed loop",
                "while the server pauses, each connection waits with one message and sends no more, \
                 so the quantiles hide the pause; --rate shows it",
            )?,
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
}
