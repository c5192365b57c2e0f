// SPDX-License-Identifier: GPL-2.0

//! `ktcp-bench`, a load generator for servers that answer with what they were sent, and for
//! those of HTTP.

mod cli;
mod connection;
mod failure;
mod http;
mod pattern;
mod plan;
mod plot;
mod quantiles;
mod report;
mod run;
mod tally;
mod watch;
mod worker;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
