// SPDX-License-Identifier: GPL-2.0

//! Axes: how far they go, and what is written beside them.

use anyhow::{bail, Result};
use serde::Deserialize;
use std::ops::Range;

/// Decades up to which a logarithmic axis has 2 and 5 beside 1.
const FINE_DECADES: f64 = 2.6;

/// Steps of a linear axis at most.
const STEPS: f64 = 6.0;

/// An axis.
#[derive(Debug, Default, Deserialize)]
pub struct Axis {
    #[serde(default)]
    pub label: String,
    #[serde(default)]
    pub log: bool,
    /// What the values are, if it is written beside each of them: "s", "B/s".
    #[serde(default)]
    pub unit: String,
    /// Values and what is written there, if not what `ticks` finds.
    #[serde(default)]
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From zero, or from the least value of a logarithmic axis, to a little above the largest.
    pub fn range(&self, values: impl Iterator<Item = f64>) -> Result<Range<f64>> {
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            if !value.is_finite() || (self.log && value <= 0.0) {
                bail!("{}: {value} cannot be drawn", self.label);
            }
            (least, most) = (least.min(value), most.max(value));
        }
        if least > most {
            bail!("{}: there is nothing to draw", self.label);
        }
        Ok(match self.log {
            true if least == most => least / 2.0..most * 2.0,
            // A part of the way, so that no point lies on the frame
            true => least / (most / least).powf(0.02)..most * (most / least).powf(0.03),
            false if most <= 0.0 => least.min(0.0)..1.0,
            false => least.min(0.0)..most * 1.06,
        })
    }

    /// Where the lines of the grid are, and what is written there.
    pub fn ticks(&self, range: &Range<f64>) -> Vec<(f64, String)> {
        if !self.ticks.is_empty() {
            return self.ticks.clone();
        }
        let values = if self.log {
            logarithmic(range)
        } else {
            linear(range)
        };
        values
            .into_iter()
            .map(|v| (v, label(v, &self.unit)))
            .collect()
    }
}

fn logarithmic(range: &Range<f64>) -> Vec<f64> {
    let decades = (range.end / range.start).log10();
    let factors: &[f64] = if decades <= FINE_DECADES {
        &[1.0, 2.0, 5.0]
    } else {
        &[1.0]
    };
    let first = range.start.log10().floor() as i32;
    let last = range.end.log10().ceil() as i32;
    let all = (first..=last).flat_map(|exponent| {
        let decade = 10_f64.powi(exponent);
        factors.iter().map(move |factor| factor * decade)
    });
    let found: Vec<_> = all.filter(|value| range.contains(value)).collect();
    // Of less than a decade there are few.
    if found.len() < 3 {
        linear(range)
    } else {
        found
    }
}

fn linear(range: &Range<f64>) -> Vec<f64> {
    let rough = (range.end - range.start) / STEPS;
    let decade = 10_f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * decade);
    let step = steps
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    let first = (range.start / step).ceil() as i64;
    let last = (range.end / step).floor() as i64;
    (first..=last).map(|number| number as f64 * step).collect()
}

/// A short form of a number: 15000 is 15k; of seconds, 0.0015 is 1.5 ms.
fn label(value: f64, unit: &str) -> String {
    let prefixes = [
        (1e9, "G"),
        (1e6, "M"),
        (1e3, "k"),
        (1.0, ""),
        (1e-3, "m"),
        (1e-6, "µ"),
        (1e-9, "n"),
    ];
    // A number by itself has no prefix while it has four digits, or is a part of one.
    let has_none = unit.is_empty() && value.abs() < 1e4;
    let found = prefixes
        .into_iter()
        .find(|(factor, _)| value.abs() >= 0.9999 * factor);
    let (factor, prefix) = found.filter(|_| !has_none).unwrap_or((1.0, ""));
    let text = format!("{:.2}", value / factor);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match unit {
        "" => format!("{text}{prefix}"),
        unit => format!("{text} {prefix}{unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(range: Range<f64>, log: bool) -> String {
        let axis = Axis {
            log,
            ..Axis::default()
        };
        let texts: Vec<_> = axis.ticks(&range).into_iter().map(|tick| tick.1).collect();
        texts.join(" ")
    }

    #[test]
    fn labels_are_short() {
        let values = [0.0, 0.25, 1.0, 9000.0, 12_500.0, 3_000_000.0];
        let plain = values.map(|value| label(value, ""));
        assert_eq!(plain, ["0", "0.25", "1", "9000", "12.5k", "3M"]);
        let times = [0.0, 1e-4, 1.5e-3, 2.0].map(|value| label(value, "s"));
        assert_eq!(times, ["0 s", "100 µs", "1.5 ms", "2 s"]);
        assert_eq!(label(3e8, "B/s"), "300 MB/s");
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(ticks(0.0..104.0, false), "0 20 40 60 80 100");
        assert_eq!(ticks(0.0..1.3, false), "0 0.25 0.5 0.75 1 1.25");
        assert_eq!(ticks(-3.0..3.0, false), "-3 -2 -1 0 1 2 3");
        assert_eq!(ticks(0.9..1_100.0, true), "1 10 100 1000");
        assert_eq!(ticks(40.0..250.0, true), "50 100 200");
        assert_eq!(ticks(0.67..1.05, true), "0.7 0.8 0.9 1");
    }

    #[test]
    fn ticks_that_are_given_are_taken() {
        let axis = Axis {
            ticks: vec![(64.0, "64 B".into())],
            ..Axis::default()
        };
        assert_eq!(axis.ticks(&(0.0..100.0)), [(64.0, "64 B".to_owned())]);
    }

    #[test]
    fn points_do_not_lie_on_the_frame() {
        let axis = |log| Axis {
            log,
            ..Axis::default()
        };
        let range = axis(true)
            .range([1.0, 1000.0].into_iter())
            .expect("a range");
        assert!(range.start < 1.0 && range.end > 1000.0);
        assert_eq!(
            axis(false).range([5.0].into_iter()).expect("a range").start,
            0.0
        );
        assert!(axis(true).range([0.0].into_iter()).is_err());
        assert!(axis(false).range([f64::NAN].into_iter()).is_err());
        assert!(axis(false).range(std::iter::empty()).is_err());
    }
}
