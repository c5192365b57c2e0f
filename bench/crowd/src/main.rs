// SPDX-License-Identifier: GPL-2.0

//! `ktcp-crowd`: a crowd of clients of an echo server, in one thread, for tests inside a guest.
//!
//! Whatever comes back is compared with what was sent, byte for byte. The end is a line `KEY VALUE`
//! for each thing that was counted. `corrupt` counts connections on which anything came that was not
//! sent, and makes the exit status 1; `connections` counts all that were made; `compared` counts the
//! received bytes, right or wrong, without those of `part`, which looks at the number only. Nothing runs
//! for longer than `--seconds`, or goes on when there is the file `--until`.

mod client;
mod commands;
mod crowd;
mod part;
mod shared;
mod stream;

use clap::{Args, Parser};
use commands::Command;
use crowd::Crowd;
use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

/// Clients of an echo server.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    #[command(flatten)]
    options: Options,
}

/// What all commands know.
#[derive(Debug, Args)]
struct Options {
    /// Where to connect to; several take turns
    #[arg(
        long,
        global = true,
        value_delimiter = ',',
        default_value = "127.0.0.1:12345"
    )]
    addr: Vec<SocketAddr>,

    /// How long it may take
    #[arg(long, global = true, default_value_t = 60.0, value_name = "SECONDS")]
    seconds: f64,

    /// What is sent, and what is done at random, depends on this
    #[arg(long, global = true, default_value_t = 1, value_name = "NUMBER")]
    seed: u64,

    /// A file that ends it when it is there
    #[arg(long, global = true, value_name = "FILE")]
    until: Option<PathBuf>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let counts = Crowd::new(&cli.options).and_then(|mut crowd| {
        let mut counts = cli.command.run(&mut crowd)?;
        counts.push(("connections", crowd.connections));
        counts.push(("compared", crowd.compared));
        Ok(counts)
    });
    match counts {
        Ok(counts) => {
            for (key, value) in &counts {
                println!("{key} {value}");
            }
            let is_corrupt = |(key, count): &(&str, u64)| *key == "corrupt" && *count > 0;
            ExitCode::from(u8::from(counts.iter().any(is_corrupt)))
        }
        Err(error) => {
            eprintln!("crowd: {error:#}");
            ExitCode::from(3)
        }
    }
}
