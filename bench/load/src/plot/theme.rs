// SPDX-License-Identifier: GPL-2.0

//! Colours, and what becomes of them where the reader prefers a dark page.

use plotters::style::RGBColor;
use std::fmt::Write;

/// A colour on a light page and on a dark one
pub struct Paint {
    pub light: RGBColor,
    dark: RGBColor,
}

const fn paint(light: (u8, u8, u8), dark: (u8, u8, u8)) -> Paint {
    Paint {
        light: RGBColor(light.0, light.1, light.2),
        dark: RGBColor(dark.0, dark.1, dark.2),
    }
}

pub const PAGE: Paint = paint((255, 255, 255), (13, 17, 23));
pub const TEXT: Paint = paint((31, 35, 40), (230, 237, 243));
pub const QUIET: Paint = paint((101, 109, 118), (157, 167, 179));
pub const GRID: Paint = paint((225, 228, 232), (48, 54, 61));

/// Colours that people tell apart, however they see colours: after the palette of Okabe and Ito,
/// darkened or lightened until each is easy to read as text.
pub const LINES: [Paint; 7] = [
    paint((0, 98, 163), (88, 171, 255)),
    paint((196, 78, 0), (255, 145, 77)),
    paint((0, 125, 90), (61, 201, 155)),
    paint((171, 71, 128), (231, 143, 196)),
    paint((138, 104, 0), (224, 184, 59)),
    paint((20, 122, 158), (111, 212, 240)),
    paint((87, 82, 92), (190, 186, 196)),
];

fn hex(colour: RGBColor) -> String {
    format!("#{:02X}{:02X}{:02X}", colour.0, colour.1, colour.2)
}

/// The picture with a style sheet that changes its colours on a dark page.
///
/// A rule of a style sheet comes before an attribute of an element, which is how the colours are
/// written there.
pub fn with_dark_page(svg: &str) -> String {
    let mut rules = String::new();
    for paint in [&PAGE, &TEXT, &QUIET, &GRID].into_iter().chain(&LINES) {
        let (light, dark) = (hex(paint.light), hex(paint.dark));
        for property in ["fill", "stroke"] {
            // Writing to a string does not fail.
            let _ = write!(rules, "[{property}=\"{light}\"]{{{property}:{dark}}}");
        }
    }
    let style = format!("<style>@media (prefers-color-scheme:dark){{{rules}}}</style>");
    match svg.find('>') {
        // The first element is the picture itself.
        Some(end) => format!("{}\n{style}{}", &svg[..=end], &svg[end + 1..]),
        None => svg.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_differ() {
        let all = || [&PAGE, &TEXT, &QUIET, &GRID].into_iter().chain(&LINES);
        for (i, one) in all().enumerate() {
            for other in all().skip(i + 1) {
                assert_ne!(hex(one.light), hex(other.light));
                assert_ne!(hex(one.dark), hex(other.dark));
            }
        }
    }

    #[test]
    fn the_style_comes_first() {
        let svg = with_dark_page("<svg width=\"3\">\n<rect fill=\"#FFFFFF\"/></svg>");
        assert!(svg.starts_with("<svg width=\"3\">\n<style>"), "{svg}");
        assert!(svg.contains("[fill=\"#FFFFFF\"]{fill:#0D1117}"), "{svg}");
        assert!(svg.ends_with("<rect fill=\"#FFFFFF\"/></svg>"), "{svg}");
    }
}
