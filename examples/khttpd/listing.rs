// SPDX-License-Identifier: GPL-2.0

//! The page that lists what is in a directory.

use crate::{
    http::{
        date::Civil,
        path::{
            self,
            Path, //
        }, //
    },
    page::Page,
    site::name_of, //
};
use core::fmt::{
    self,
    Write, //
};
use kernel::{
    prelude::*,
    str::CString, //
};
use ktcp_server::{
    error::ENAMETOOLONG,
    fs::{
        Directory,
        Found,
        Kind,
        Metadata,
        Wait, //
    }, //
};

/// How many names are shown.
const MOST: usize = 2000;
/// The length that a page can reach: each byte of a name takes three in a reference and six in the text.
const LIMIT: usize = MOST * (256 * (3 + 6) + 160) + 2 * 6 * path::MAX + 2 * START.len();

const START: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
<meta name=\"viewport\" content=\"width=device-width\">\n<style>\n\
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em; \
color: #222; background: #fff }\n\
table { border-collapse: collapse; width: 100% }\n\
th, td { text-align: left; padding: .2em .6em; border-bottom: 1px solid #e4e4e4 }\n\
th { font-weight: 600 }\ntd.n { text-align: right; font-variant-numeric: tabular-nums; \
white-space: nowrap }\nth.n { text-align: right }\na { color: #0b57a4; text-decoration: none }\n\
a:hover { text-decoration: underline }\n\
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } \
th, td { border-color: #333 } a { color: #7db8f0 } }\n</style>\n";

/// One line of the listing.
struct Line {
    name: CString,
    state: Option<Metadata>,
    /// True if a client can ask for it: its path is not too long.
    leads_there: bool,
}

impl Line {
    fn is_directory(&self) -> bool {
        self.state
            .is_some_and(|state| state.kind == Kind::Directory)
    }
}

/// The page for the directory `found`, which is at `path`. May sleep.
pub(crate) fn page(root: &Directory, found: &Found<'_>, path: &mut Path) -> Result<KVVec<u8>> {
    let (names, is_complete) = found.names(MOST)?;
    let mut lines = KVVec::with_capacity(names.len(), GFP_KERNEL)?;
    for name in names {
        // Links that lead nowhere, or outside, and what may not be looked at.
        let back = path.enter(name.to_bytes()).map_err(|_| ENAMETOOLONG)?;
        let line = Line {
            state: state_of(root, path).ok(),
            leads_there: path.can_be_asked_for(),
            name,
        };
        path.leave(back);
        let line = KBox::new(line, GFP_KERNEL)?;
        lines.push(line, GFP_KERNEL)?;
    }
    lines.sort_unstable_by(|one, other| {
        let directories_first = other.is_directory().cmp(&one.is_directory());
        directories_first.then_with(|| one.name.to_bytes().cmp(other.name.to_bytes()))
    });
    let mut page = Page::new(LIMIT);
    // The one other error is a page that gets too long.
    write_page(&mut page, &lines, path, is_complete).map_err(|_| ENOMEM)?;
    Ok(page.into_bytes())
}

/// Looks up the metadata of the file at `path`.
fn state_of(root: &Directory, path: &Path) -> Result<Metadata> {
    root.find(name_of(path)?, Wait::Yes)?.metadata(Wait::Yes)
}

fn write_page(
    page: &mut Page,
    lines: &[KBox<Line>],
    path: &Path,
    is_complete: bool,
) -> fmt::Result {
    page.write_str(START)?;
    page.write_str("<title>/")?;
    write_path(page, path)?;
    page.write_str("</title>\n</head>\n<body>\n<h1>/")?;
    write_path(page, path)?;
    page.write_str(
        "</h1>\n<table>\n<tr><th>Name</th><th class=\"n\">Bytes</th>\
         <th class=\"n\">Last changed (UTC)</th></tr>\n",
    )?;
    if !path.as_bytes().is_empty() {
        page.write_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n")?;
    }
    for line in lines {
        write_line(page, line)?;
    }
    page.write_str("</table>\n")?;
    if !is_complete {
        writeln!(page, "<p>Only {MOST} of the names are shown.</p>")?;
    }
    page.write_str("</body>\n</html>\n")
}

fn write_path(page: &mut Page, path: &Path) -> fmt::Result {
    if path.as_bytes().is_empty() {
        return Ok(());
    }
    page.push_escaped(path.as_bytes())?;
    page.write_str("/")
}

fn write_line(page: &mut Page, line: &Line) -> fmt::Result {
    let slash = if line.is_directory() { "/" } else { "" };
    page.write_str("<tr><td>")?;
    if line.leads_there {
        // A name with a colon in it would be taken for a scheme.
        page.write_str("<a href=\"./")?;
        page.push_encoded(line.name.to_bytes())?;
        write!(page, "{slash}\">")?;
    }
    page.push_escaped(line.name.to_bytes())?;
    page.write_str(slash)?;
    if line.leads_there {
        page.write_str("</a>")?;
    }
    page.write_str("</td>")?;
    let Some(state) = line.state else {
        return page.write_str("<td></td><td></td></tr>\n");
    };
    page.write_str("<td class=\"n\">")?;
    if state.kind == Kind::File {
        write!(page, "{}", state.size)?;
    }
    let date = Civil::from_unix(state.modified.seconds);
    writeln!(
        page,
        "</td><td class=\"n\">{}-{:02}-{:02} {:02}:{:02}</td></tr>",
        date.year, date.month, date.day, date.hour, date.minute
    )
}
