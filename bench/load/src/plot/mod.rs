// SPDX-License-Identifier: GPL-2.0

//! Draws lines over an axis, as SVG.

use anyhow::{anyhow, bail, Context, Result};
use plotters::{
    coord::{
        combinators::IntoLogRange,
        ranged1d::{AsRangedCoord, ValueFormatter},
        Shift,
    },
    prelude::*,
};
use serde::Deserialize;
use std::{fs, ops::Range, path::Path};

const SIZE: (u32, u32) = (840, 500);
const FONT: &str = "sans-serif";
/// Colours that people tell apart, however they see colours: the palette of Okabe and Ito.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
];
const GREY: RGBColor = RGBColor(110, 110, 110);
const GRID: RGBColor = RGBColor(225, 225, 225);

/// An axis.
#[derive(Debug, Deserialize)]
pub struct Axis {
    pub label: String,
    #[serde(default)]
    pub log: bool,
}

/// A line.
#[derive(Debug, Deserialize)]
pub struct Series {
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// A picture.
#[derive(Debug, Deserialize)]
pub struct Chart {
    pub title: String,
    /// A second, smaller line of the title.
    #[serde(default)]
    pub subtitle: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
}

impl Chart {
    /// Reads it from a file of JSON.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    }

    /// The least and the largest value of each axis.
    fn ranges(&self) -> Result<[Range<f64>; 2]> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let (xs, ys) = (points().map(|p| p.0), points().map(|p| p.1));
        Ok([range(xs, &self.x)?, range(ys, &self.y)?])
    }

    /// Draws it as SVG.
    pub fn draw(&self) -> Result<String> {
        let [x, y] = self.ranges()?;
        let mut text = String::new();
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        let drawn = match (self.x.log, self.y.log) {
            (false, false) => self.fill(&area, x, y),
            (false, true) => self.fill(&area, x, y.log_scale()),
            (true, false) => self.fill(&area, x.log_scale(), y),
            (true, true) => self.fill(&area, x.log_scale(), y.log_scale()),
        };
        drawn.map_err(|error| anyhow!("{}: {error}", self.title))?;
        drop(area);
        Ok(text)
    }

    fn fill<X, Y>(
        &self,
        area: &DrawingArea<SVGBackend<'_>, Shift>,
        x: X,
        y: Y,
    ) -> Result<(), Box<dyn std::error::Error>>
    where
        X: AsRangedCoord<Value = f64>,
        Y: AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        area.fill(&WHITE)?;
        let (head, body) = area.split_vertically(62);
        let title = (FONT, 22).into_font().style(FontStyle::Bold).color(&BLACK);
        head.draw_text(&self.title, &title, (24, 14))?;
        head.draw_text(
            &self.subtitle,
            &(FONT, 14).into_font().color(&GREY),
            (24, 40),
        )?;
        let mut chart = ChartBuilder::on(&body)
            .margin(12)
            .margin_right(28)
            .x_label_area_size(46)
            .y_label_area_size(74)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(GREY)
            .label_style((FONT, 14))
            .axis_desc_style((FONT, 15))
            .x_desc(&self.x.label)
            .y_desc(&self.y.label)
            .x_label_formatter(&|value| label(*value))
            .y_label_formatter(&|value| label(*value))
            .draw()?;
        for (series, colour) in self.series.iter().zip(COLOURS.iter().cycle()) {
            let points = || series.points.iter().copied();
            let line = LineSeries::new(points(), colour.stroke_width(2));
            chart
                .draw_series(line)?
                .label(&series.name)
                .legend(|(x, y)| PathElement::new([(x, y), (x + 22, y)], colour.stroke_width(3)));
            chart.draw_series(points().map(|point| Circle::new(point, 3, colour.filled())))?;
        }
        if self.series.len() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperLeft)
                .label_font((FONT, 15))
                .background_style(WHITE.mix(0.85))
                .margin(10)
                .draw()?;
        }
        area.present()?;
        Ok(())
    }
}

/// From zero, or from the least value of a logarithmic axis, to a little above the largest.
fn range(values: impl Iterator<Item = f64>, axis: &Axis) -> Result<Range<f64>> {
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values {
        if !value.is_finite() || (axis.log && value <= 0.0) {
            bail!("{}: {value} cannot be drawn", axis.label);
        }
        (least, most) = (least.min(value), most.max(value));
    }
    if least > most {
        bail!("{}: there is nothing to draw", axis.label);
    }
    Ok(match axis.log {
        true if least == most => least / 2.0..most * 2.0,
        true => least..most * 1.1,
        false if most <= 0.0 => least.min(0.0)..1.0,
        false => least.min(0.0)..most * 1.04,
    })
}

/// A short form of a number: 1500 is 1.5k.
fn label(value: f64) -> String {
    let (value, unit) = match value.abs() {
        v if v >= 1e6 => (value / 1e6, "M"),
        v if v >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(log: bool, points: &[(f64, f64)]) -> Chart {
        let axis = |name: &str| Axis {
            label: name.into(),
            log,
        };
        let series = |name: &str| Series {
            name: name.into(),
            points: points.to_vec(),
        };
        Chart {
            title: "Time & <space>".into(),
            subtitle: String::new(),
            x: axis("clients"),
            y: axis("µs"),
            series: vec![series("one"), series("other")],
        }
    }

    #[test]
    fn a_chart_names_all_that_it_shows() {
        for log in [false, true] {
            let svg = chart(log, &[(1.0, 3.0), (1000.0, 5.5)])
                .draw()
                .expect("a chart");
            for text in [
                "<svg",
                "clients",
                "µs",
                "one",
                "other",
                "Time &amp; &lt;space&gt;",
            ] {
                assert!(svg.contains(text), "{text} in {svg}");
            }
            assert_eq!(svg.matches("<circle").count(), 4);
        }
    }

    #[test]
    fn what_cannot_be_drawn_is_an_error() {
        assert!(chart(false, &[]).draw().is_err());
        assert!(chart(false, &[(1.0, f64::NAN)]).draw().is_err());
        assert!(chart(true, &[(0.0, 1.0)]).draw().is_err());
        assert!(chart(true, &[(1.0, 1.0)]).draw().is_ok());
        assert!(chart(false, &[(0.0, 0.0)]).draw().is_ok());
    }

    #[test]
    fn labels_are_short() {
        let values = [0.0, 0.25, 1.0, 9000.0, 12_500.0, 3_000_000.0];
        assert_eq!(values.map(label), ["0", "0.25", "1", "9000", "12.5k", "3M"]);
    }
}
