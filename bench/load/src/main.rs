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
mod schedule;
mod tally;
mod target;
mod watch;
mod worker;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    end_with_any_thread();
    match cli::Cli::parse().run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Has a panic of any thread end the process: the others would wait for it.
fn end_with_any_thread() {
    let show = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        show(panic);
        std::process::abort();
    }));
}
