// SPDX-License-Identifier: GPL-2.0

//! The status page: what the server does, for a person and for a program.

use crate::{
    http::status::Status,
    page::Page, //
};
use core::fmt::{
    self,
    Write, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::{
        Delta,
        Instant,
        Monotonic, //
    }, //
};

/// How many seconds the plot shows.
const SECONDS: usize = 60;
/// How many seconds are kept: those, and the one that runs.
const KEPT: usize = 64;
/// The page is longer than this under no circumstances.
const LIMIT: usize = 64 << 10;

/// How the statistics are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As a page for a browser.
    Page,
    /// As JSON.
    Json,
}

/// What the server counts.
pub(crate) struct Counters {
    started: Instant<Monotonic>,
    open: Atomic<i64>,
    opened: Atomic<u64>,
    requests: Atomic<u64>,
    /// By the first digit of their status.
    statuses: [Atomic<u64>; 6],
    kept_bytes: Atomic<u64>,
    /// In each of the last seconds of the [uptime](Self::uptime): the second in the upper half, the
    /// requests in the lower.
    seconds: [Atomic<u64>; KEPT],
}

/// What the counters say at one moment.
struct Snapshot {
    uptime: i64,
    open: i64,
    opened: u64,
    requests: u64,
    statuses: [u64; 6],
    kept_bytes: u64,
    /// The oldest first.
    rates: [u64; SECONDS],
}

impl Counters {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            open: Atomic::new(0),
            opened: Atomic::new(0),
            requests: Atomic::new(0),
            statuses: [const { Atomic::new(0) }; 6],
            kept_bytes: Atomic::new(0),
            seconds: [const { Atomic::new(0) }; KEPT],
        }
    }

    /// How long the server has been running, whatever becomes of the date meanwhile.
    pub(crate) fn uptime(&self) -> Delta {
        self.started.elapsed()
    }

    fn uptime_seconds(&self) -> i64 {
        self.uptime().as_millis() / 1000
    }

    /// A connection was opened.
    pub(crate) fn note_open(&self) {
        self.open.fetch_add(1, Relaxed);
        self.opened.fetch_add(1, Relaxed);
    }

    /// A connection was closed.
    pub(crate) fn note_close(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    /// A small file of so many bytes is given out.
    pub(crate) fn note_content(&self, bytes: usize) {
        self.kept_bytes.fetch_add(bytes as u64, Relaxed);
    }

    /// A response is given.
    pub(crate) fn note(&self, status: Status) {
        self.requests.fetch_add(1, Relaxed);
        if let Some(class) = self.statuses.get(usize::from(status.code / 100)) {
            class.fetch_add(1, Relaxed);
        }
        let second = self.uptime_seconds() as u64 & u64::from(u32::MAX);
        let place = &self.seconds[second as usize % KEPT];
        let mut old = place.load(Relaxed);
        loop {
            let count = if old >> 32 == second {
                (old & u64::from(u32::MAX)) + 1
            } else {
                1
            };
            match place.cmpxchg(old, second << 32 | count, Relaxed) {
                Ok(_) => break,
                Err(other) => old = other,
            }
        }
    }

    fn snapshot(&self) -> Snapshot {
        let uptime = self.uptime_seconds();
        let mut rates = [0; SECONDS];
        for (rate, ago) in rates.iter_mut().rev().zip(1..) {
            // The second that runs is left out: it has only begun.
            let second = (uptime - ago) as u64 & u64::from(u32::MAX);
            let value = self.seconds[second as usize % KEPT].load(Relaxed);
            if value >> 32 == second {
                *rate = value & u64::from(u32::MAX);
            }
        }
        Snapshot {
            uptime,
            open: self.open.load(Relaxed),
            opened: self.opened.load(Relaxed),
            requests: self.requests.load(Relaxed),
            statuses: core::array::from_fn(|class| self.statuses[class].load(Relaxed)),
            kept_bytes: self.kept_bytes.load(Relaxed),
            rates,
        }
    }

    /// The statistics. May sleep.
    pub(crate) fn page(&self, form: Form) -> Result<KVVec<u8>> {
        let snapshot = self.snapshot();
        let mut page = Page::new(LIMIT);
        match form {
            Form::Page => snapshot.write_html(&mut page),
            Form::Json => snapshot.write_json(&mut page),
        }
        .map_err(|_| ENOMEM)?;
        Ok(page.into_bytes())
    }
}

const START: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
<meta name=\"viewport\" content=\"width=device-width\">\n<meta http-equiv=\"refresh\" content=\"2\">\n\
<title>khttpd</title>\n<style>\n\
body { font: 15px/1.5 system-ui, sans-serif; max-width: 44em; margin: 2em auto; padding: 0 1em; \
color: #222; background: #fff }\n\
table { border-collapse: collapse; width: 100% }\n\
th, td { text-align: left; font-weight: normal; padding: .2em 0; border-bottom: 1px solid #e4e4e4 }\n\
td { text-align: right; font-variant-numeric: tabular-nums }\n\
figure { margin: 1em 0 }\nfigcaption { color: #777; font-size: 13px; display: flex; \
justify-content: space-between }\nsvg { width: 100%; height: 9em; display: block }\n\
a { color: #0b57a4 }\n\
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } \
th, td { border-color: #333 } a { color: #7db8f0 } }\n</style>\n</head>\n<body>\n<h1>khttpd</h1>\n";

impl Snapshot {
    fn write_html(&self, page: &mut Page) -> fmt::Result {
        page.write_str(START)?;
        self.write_plot(page)?;
        page.write_str("<table>\n")?;
        let (minutes, seconds) = (self.uptime / 60, self.uptime % 60);
        let (hours, minutes) = (minutes / 60, minutes % 60);
        writeln!(
            page,
            "<tr><th>Running for</th><td>{hours} h {minutes:02} min {seconds:02} s</td></tr>"
        )?;
        let mut row = |what: &str, number: u64| {
            writeln!(page, "<tr><th>{what}</th><td>{}</td></tr>", Grouped(number))
        };
        row("Connections open", self.open.max(0) as u64)?;
        row("Connections since the start", self.opened)?;
        row("Responses", self.requests)?;
        row("… 2xx, with what was wanted", self.statuses[2])?;
        row("… 3xx, found elsewhere or unchanged", self.statuses[3])?;
        row("… 4xx, the client’s fault", self.statuses[4])?;
        row("… 5xx, the server’s", self.statuses[5])?;
        row("Bytes of small files", self.kept_bytes)?;
        page.write_str("</table>\n<p>The same as <a href=\"/_ktcp/stats.json\">JSON</a>.</p>\n</body>\n</html>\n")
    }

    /// Responses in each second, one pixel of the view box for each.
    fn write_plot(&self, page: &mut Page) -> fmt::Result {
        let most = self.rates.iter().copied().max().unwrap_or(0);
        let last = self.rates[SECONDS - 1];
        page.write_str(
            "<figure>\n<svg viewBox=\"0 0 59 100\" preserveAspectRatio=\"none\" role=\"img\" \
             aria-label=\"Responses per second\">\n\
             <path d=\"M0 100H59M0 50H59M0 0H59\" stroke=\"#8884\" fill=\"none\" \
             vector-effect=\"non-scaling-stroke\"/>\n<path d=\"M0 100",
        )?;
        self.write_points(page, most)?;
        page.write_str("V100Z\" fill=\"#3b82c433\"/>\n<polyline points=\"")?;
        for (second, rate) in self.rates.iter().enumerate() {
            write!(page, "{second},{} ", height(*rate, most))?;
        }
        page.write_str(
            "\" fill=\"none\" stroke=\"#3b82c4\" stroke-width=\"2\" \
             vector-effect=\"non-scaling-stroke\"/>\n</svg>\n<figcaption>",
        )?;
        writeln!(
            page,
            "<span>60 s ago</span><span>responses per second: {} in the last, at most {}</span>\
             <span>now</span></figcaption>\n</figure>",
            Grouped(last),
            Grouped(most)
        )
    }

    fn write_points(&self, page: &mut Page, most: u64) -> fmt::Result {
        for (second, rate) in self.rates.iter().enumerate() {
            write!(page, "L{second} {}", height(*rate, most))?;
        }
        Ok(())
    }

    fn write_json(&self, page: &mut Page) -> fmt::Result {
        let [_, informational, success, redirection, client_error, server_error] = self.statuses;
        write!(
            page,
            "{{\"uptime_seconds\":{},\"connections\":{{\"open\":{},\"opened\":{}}},\
             \"responses\":{{\"all\":{},\"1xx\":{informational},\"2xx\":{success},\
             \"3xx\":{redirection},\"4xx\":{client_error},\"5xx\":{server_error}}},\
             \"small_file_bytes\":{},\"responses_per_second\":[",
            self.uptime,
            self.open.max(0),
            self.opened,
            self.requests,
            self.kept_bytes
        )?;
        for (second, rate) in self.rates.iter().enumerate() {
            let comma = if second == 0 { "" } else { "," };
            write!(page, "{comma}{rate}")?;
        }
        page.write_str("]}\n")
    }
}

/// Where a rate is in the plot: 0 is the top.
fn height(rate: u64, most: u64) -> u64 {
    100 - rate * 100 / most.max(1)
}

/// A number with its digits in groups of three.
struct Grouped(u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [u64; 7] = [
            1_000_000_000_000_000_000,
            1_000_000_000_000_000,
            1_000_000_000_000,
            1_000_000_000,
            1_000_000,
            1000,
            1,
        ];
        let mut groups = UNITS
            .iter()
            .map(|unit| self.0.checked_div(*unit).unwrap_or(0));
        let first = groups.by_ref().find(|group| *group > 0).unwrap_or(0);
        write!(f, "{first}")?;
        for group in groups {
            write!(f, ",{:03}", group % 1000)?;
        }
        Ok(())
    }
}
