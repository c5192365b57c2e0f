// SPDX-License-Identifier: GPL-2.0

//! Draws lines over an axis, or points in rows, as SVG that is easy to read on a light page and on
//! a dark one.
//!
//! The crate plotters draws them. matplotlib (72 packages, 81 MB) and gnuplot-nox (51 packages, 17 MB)
//! would come with the first build root, are not there in a guest, where `--plot` draws too, and leave
//! what is by hand here to us: names beside the ends of lines, and colours for a dark page.

mod axis;
mod theme;

pub use axis::Axis;

use anyhow::{anyhow, bail, Context, Result};
use plotters::{
    coord::{
        ranged1d::{DefaultFormatting, KeyPointHint},
        Shift,
    },
    prelude::*,
    style::text_anchor::{HPos, Pos, VPos},
};
use serde::Deserialize;
use std::{fs, ops::Range, path::Path};
use theme::{GRID, LINES, PAGE, QUIET, TEXT};

const FONT: &str = "sans-serif";
const WIDTH: u32 = 880;
/// Of a picture with lines
const HEIGHT: u32 = 500;
const HEAD: u32 = 68;
/// The line with the names of the series, of a picture with rows
const NAMES: u32 = 30;
/// Where the texts of the head begin
const LEFT: i32 = 20;
/// Of a picture with rows
const ROW: u32 = 34;
const BELOW: u32 = 62;
/// How far apart the series of a row are drawn, in rows
const APART: f64 = 0.16;
const LABEL: u32 = 17;
/// What a letter of a label takes up, roughly
const LETTER: u32 = 8;
/// Between the names of two lines
const GAP: i32 = 17;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// A line, or the points of one colour.
#[derive(Debug, Deserialize)]
pub struct Series {
    pub name: String,
    /// Its colour, by number; else they are taken in turn.
    #[serde(default)]
    pub colour: Option<usize>,
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
    #[serde(default)]
    pub y: Axis,
    pub series: Vec<Series>,
    /// If there are any: the second number of a point is that of a row, from the top.
    #[serde(default)]
    pub rows: Vec<String>,
}

/// An axis as it is drawn: a logarithmic one is a linear one of the logarithms.
#[derive(Clone)]
struct Scale {
    log: bool,
    range: Range<f64>,
    ticks: Vec<(f64, String)>,
}

impl Scale {
    fn new(axis: &Axis, values: impl Iterator<Item = f64>) -> Result<Self> {
        let range = axis.range(values)?;
        let mut scale = Self {
            log: axis.log,
            range: 0.0..1.0,
            ticks: axis.ticks(&range),
        };
        scale.range = scale.at(range.start)..scale.at(range.end);
        for tick in 0..scale.ticks.len() {
            scale.ticks[tick].0 = scale.at(scale.ticks[tick].0);
        }
        Ok(scale)
    }

    /// One row below the other, the first at the top.
    fn of_rows(rows: &[String]) -> Self {
        let ticks = rows.iter().enumerate();
        Self {
            log: false,
            range: 0.5 - rows.len() as f64..0.5,
            ticks: ticks.map(|(i, name)| (-(i as f64), name.clone())).collect(),
        }
    }

    fn at(&self, value: f64) -> f64 {
        if self.log {
            value.log10()
        } else {
            value
        }
    }

    fn text(&self, value: f64) -> String {
        let found = self.ticks.iter().find(|tick| tick.0 == value);
        found.map_or_else(String::new, |tick| tick.1.clone())
    }

    /// How much room the longest of its texts needs, roughly.
    fn widest(&self) -> u32 {
        widest(self.ticks.iter().map(|tick| &tick.1))
    }
}

impl Ranged for Scale {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let part = (value - self.range.start) / (self.range.end - self.range.start);
        limit.0 + (part * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        // Lines between those of the ticks would be light points.
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.ticks.iter().map(|tick| tick.0).collect()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

fn widest<'a>(texts: impl Iterator<Item = &'a String>) -> u32 {
    let letters = texts.map(|text| text.chars().count()).max();
    letters.unwrap_or(0) as u32 * LETTER
}

/// Moves values apart that are nearer to each other than `gap`, and none beyond `end`.
fn spread(values: &mut [i32], gap: i32, end: i32) {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by_key(|index| values[*index]);
    let mut free = i32::MIN;
    for index in &order {
        values[*index] = values[*index].max(free);
        free = values[*index] + gap;
    }
    let mut free = end;
    for index in order.iter().rev() {
        values[*index] = values[*index].min(free);
        free = values[*index] - gap;
    }
}

impl Chart {
    /// Reads it from a file of JSON.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    }

    /// Draws it as SVG.
    pub fn draw(&self) -> Result<String> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = Scale::new(&self.x, points().map(|point| point.0))?;
        let (y, height) = if self.rows.is_empty() {
            (Scale::new(&self.y, points().map(|point| point.1))?, HEIGHT)
        } else {
            let count = self.rows.len();
            if let Some(point) = points().find(|point| !(0.0..count as f64).contains(&point.1)) {
                bail!("{}: there is no row {}", self.title, point.1);
            }
            (
                Scale::of_rows(&self.rows),
                HEAD + NAMES + BELOW + ROW * count as u32,
            )
        };
        let mut text = String::new();
        let area = SVGBackend::with_string(&mut text, (WIDTH, height)).into_drawing_area();
        self.fill(&area, &x, &y)
            .map_err(|error| anyhow!("{}: {error}", self.title))?;
        drop(area);
        Ok(theme::with_dark_page(&text))
    }

    fn colour(&self, index: usize) -> RGBColor {
        let number = self.series[index].colour.unwrap_or(index);
        LINES[number % LINES.len()].light
    }

    fn fill(&self, area: &Area<'_>, x: &Scale, y: &Scale) -> Drawn {
        area.fill(&PAGE.light)?;
        let label = |colour: RGBColor| (FONT, LABEL).into_font().color(&colour);
        let title = (FONT, 24).into_font().style(FontStyle::Bold);
        area.draw_text(&self.title, &title.color(&TEXT.light), (LEFT, 14))?;
        area.draw_text(&self.subtitle, &label(QUIET.light), (LEFT, 44))?;
        let names = widest(self.series.iter().map(|series| &series.name));
        let is_rows = !self.rows.is_empty();
        let described = if self.y.label.is_empty() { 0 } else { 26 };
        let mut chart = ChartBuilder::on(area)
            .margin(8)
            .margin_top(if is_rows { HEAD + NAMES } else { HEAD })
            .margin_left(14)
            .margin_right(if is_rows { 24 } else { 20 + names })
            .x_label_area_size(52)
            .y_label_area_size(y.widest() + described + 12)
            .build_cartesian_2d(x.clone(), y.clone())?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID.light)
            .axis_style(QUIET.light)
            .label_style(label(TEXT.light))
            .axis_desc_style(label(QUIET.light))
            .x_desc(&self.x.label)
            .y_desc(&self.y.label)
            .x_label_formatter(&|value| x.text(*value))
            .y_label_formatter(&|value| y.text(*value))
            .draw()?;
        let mut ends = Vec::new();
        for (index, series) in self.series.iter().enumerate() {
            let colour = self.colour(index);
            if self.rows.is_empty() {
                let points = || {
                    series
                        .points
                        .iter()
                        .map(|point| (x.at(point.0), y.at(point.1)))
                };
                chart.draw_series(LineSeries::new(points(), colour.stroke_width(2)))?;
                chart.draw_series(points().map(|point| Circle::new(point, 3, colour.filled())))?;
                let end = points().next_back().unwrap_or_default();
                ends.push(chart.backend_coord(&end).1);
            } else {
                // Those of one row do not hide each other.
                let aside = APART * ((self.series.len() - 1) as f64 / 2.0 - index as f64);
                let points = series
                    .points
                    .iter()
                    .map(|point| (x.at(point.0), aside - point.1));
                chart.draw_series(points.map(|point| Circle::new(point, 5, colour.filled())))?;
            }
        }
        let (right, bottom) = chart.backend_coord(&(x.range.end, y.range.start));
        if !is_rows {
            spread(&mut ends, GAP, bottom);
            self.name_lines(area, right + 8, &ends)?;
        } else {
            self.name_points(area)?;
        }
        area.present()?;
        Ok(())
    }

    /// Writes the name of each line beside its end.
    fn name_lines(&self, area: &Area<'_>, left: i32, ends: &[i32]) -> Drawn {
        for (index, (series, end)) in self.series.iter().zip(ends).enumerate() {
            self.name(area, index, &series.name, (left, *end))?;
        }
        Ok(())
    }

    /// Writes the names one beside the other, each with a point of its colour, below the title.
    fn name_points(&self, area: &Area<'_>) -> Drawn {
        let mut left = LEFT + 6;
        for (index, series) in self.series.iter().enumerate() {
            let height = (HEAD + NAMES / 2) as i32;
            let point = Circle::new((left, height), 5, self.colour(index).filled());
            area.draw(&point)?;
            self.name(area, index, &series.name, (left + 12, height))?;
            left += 44 + widest(std::iter::once(&series.name)) as i32;
        }
        Ok(())
    }

    fn name(&self, area: &Area<'_>, index: usize, text: &str, place: (i32, i32)) -> Drawn {
        let style = (FONT, LABEL).into_font().color(&self.colour(index));
        let style = style.pos(Pos::new(HPos::Left, VPos::Center));
        area.draw_text(text, &style, place)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(log: bool, points: &[(f64, f64)]) -> Chart {
        let axis = |name: &str| Axis {
            label: name.into(),
            log,
            ..Axis::default()
        };
        let series = |name: &str| Series {
            name: name.into(),
            colour: None,
            points: points.to_vec(),
        };
        Chart {
            title: "Time & <space>".into(),
            subtitle: String::new(),
            x: axis("clients"),
            y: axis("µs"),
            series: vec![series("one"), series("other")],
            rows: Vec::new(),
        }
    }

    #[test]
    fn a_chart_names_all_that_it_shows() {
        let texts = [
            "<svg",
            "clients",
            "µs",
            "one",
            "other",
            "Time &amp; &lt;space&gt;",
        ];
        for log in [false, true] {
            let svg = chart(log, &[(1.0, 3.0), (1000.0, 5.5)])
                .draw()
                .expect("a chart");
            for text in texts {
                assert!(svg.contains(text), "{text} in {svg}");
            }
            assert_eq!(svg.matches("<circle").count(), 4);
        }
    }

    #[test]
    fn rows_have_points() {
        let mut chart = chart(false, &[(0.5, 0.0), (1.2, 1.0)]);
        chart.rows = vec!["first".into(), "second".into()];
        let svg = chart.draw().expect("a chart");
        for text in ["first", "second", "one", "other"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        // Two of each series, and one beside each name
        assert_eq!(svg.matches("<circle").count(), 6);
        chart.rows.pop();
        assert!(chart.draw().is_err());
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
    fn names_do_not_overlap() {
        let mut values = [50, 10, 12, 48, 11];
        spread(&mut values, 10, 60);
        let mut sorted = values;
        sorted.sort_unstable();
        assert!(
            sorted.windows(2).all(|pair| pair[1] - pair[0] >= 10),
            "{sorted:?}"
        );
        assert!(sorted[4] <= 60);
        assert!(values[1] < values[4] && values[3] < values[0]);
    }
}
