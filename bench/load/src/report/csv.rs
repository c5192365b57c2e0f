// SPDX-License-Identifier: GPL-2.0

//! A report as a line of CSV.

use super::Report;
use anyhow::{ensure, Context, Result};
use csv::{ReaderBuilder, Terminator, Writer, WriterBuilder};
use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::Path,
};

type Column = (&'static str, String);

impl Report {
    /// Returns the line of the values, after that of the names if `named`.
    pub fn csv(&self, named: bool) -> Result<Vec<u8>> {
        let columns = self.columns();
        let mut writer = writer();
        if named {
            writer.write_record(columns.iter().map(|column| column.0))?;
        }
        writer.write_record(columns.iter().map(|column| &column.1))?;
        Ok(writer.into_inner()?)
    }

    /// Appends to a file, which gets the names if it is empty.
    ///
    /// # Errors
    ///
    /// The file has other names, as one that another version wrote.
    pub fn append_csv(&self, path: &Path) -> Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        let is_empty = file.metadata()?.len() == 0;
        if !is_empty {
            self.compare_names(path)?;
        }
        file.write_all(&self.csv(is_empty)?)?;
        Ok(())
    }

    fn compare_names(&self, path: &Path) -> Result<()> {
        let file = File::open(path).context("its names cannot be read")?;
        let mut reader = ReaderBuilder::new().from_reader(file);
        let ours = self.columns();
        let is_same = reader
            .headers()?
            .iter()
            .eq(ours.iter().map(|column| column.0));
        ensure!(
            is_same,
            "its columns are not those of this version: name another file"
        );
        Ok(())
    }

    fn columns(&self) -> Vec<Column> {
        let (settings, connect, answers) = (&self.settings, &self.connect, &*self.answered);
        let times = &answers.times_ns;
        vec![
            ("server", settings.server.clone()),
            ("path", settings.path.clone().unwrap_or_default()),
            ("connections", settings.connections.to_string()),
            ("idle", settings.idle.to_string()),
            ("size", settings.size.to_string()),
            ("depth", settings.depth.to_string()),
            ("rate", optional(settings.rate)),
            ("threads", settings.threads.to_string()),
            ("reconnect", settings.reconnect.to_string()),
            ("connected", connect.times_ns.count.to_string()),
            ("connect_mean_ns", format!("{:.0}", connect.times_ns.mean)),
            ("not_connected", connect.failures.total().to_string()),
            ("reconnects", answers.reconnects.total().to_string()),
            ("seconds", format!("{:.6}", answers.seconds)),
            ("answers", answers.count.to_string()),
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
            ("unsent", answers.unsent.to_string()),
        ]
    }
}

/// Lines end as elsewhere on this system.
fn writer() -> Writer<Vec<u8>> {
    WriterBuilder::new()
        .terminator(Terminator::Any(b'\n'))
        .from_writer(Vec::new())
}

fn optional(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}
