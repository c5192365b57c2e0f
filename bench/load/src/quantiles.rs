// SPDX-License-Identifier: GPL-2.0

//! The chart of a single load: how long which part of the messages took at most.

use crate::plot::{Axis, Chart, Series};
use hdrhistogram::Histogram;

/// Points from one half to the half of what is left: 50 %, 75 %, 87.5 %, …
const STEPS: f64 = 4.0;

/// Draws what `histogram` holds of times in nanoseconds.
pub fn chart(title: String, histogram: &Histogram<u64>) -> Chart {
    let points = (0..)
        .map(|step| 2_f64.powf(f64::from(step) / STEPS))
        .take_while(|left| *left <= histogram.len() as f64)
        .map(|left| {
            let nanoseconds = histogram.value_at_quantile(1.0 - 1.0 / left);
            (left, nanoseconds.max(1) as f64 / 1e3)
        })
        .collect();
    Chart {
        title,
        subtitle: "10 on the axis below: 90 % of the messages took at most so long; \
            100: 99 %; 1000: 99.9 %"
            .into(),
        x: Axis {
            label: "one message of so many took longer".into(),
            log: true,
            ..Axis::default()
        },
        y: Axis {
            label: "time in µs".into(),
            log: true,
            ..Axis::default()
        },
        series: vec![Series {
            name: "time".into(),
            colour: None,
            points,
        }],
        rows: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises() {
        let mut histogram = crate::tally::histogram();
        (1..10_000).for_each(|value| histogram.saturating_record(value * 1_000));
        let chart = chart("test".into(), &histogram);
        let points = &chart.series[0].points;
        assert!(points.len() > 40);
        assert!(
            points.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1),
            "{points:?}"
        );
        let median = points
            .iter()
            .find(|(left, _)| *left >= 2.0)
            .expect("half of them");
        assert!((4_900.0..5_100.0).contains(&median.1), "{median:?}");
    }
}
