// SPDX-License-Identifier: GPL-2.0

//! `ktcp-peer`: echo servers in user space, each as well written as its way of waiting allows, to
//! compare the library with.

mod buffers;
mod epoll;
mod listener;
mod tokio;
mod uring;

use anyhow::Result;
use clap::{Parser, ValueEnum};
use std::{net::SocketAddr, thread};

/// An echo server.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    /// How it waits for its connections
    #[arg(value_enum)]
    way: Way,

    /// Where it listens
    #[arg(long, default_value = "0.0.0.0:12345", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,

    /// Threads that serve, each with a listening socket of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    /// epoll(7), edge-triggered
    Epoll,
    /// io_uring(7), multishot
    Uring,
    /// The runtime of the crate tokio
    Tokio,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let threads = usize::from(cli.threads);
    let serve = match cli.way {
        Way::Epoll => epoll::serve,
        Way::Uring => uring::serve,
        Way::Tokio => tokio::serve,
    };
    let listeners = (0..threads)
        .map(|_| listener::open(cli.listen, threads))
        .collect::<Result<Vec<_>>>()?;
    thread::scope(|scope| {
        let handles: Vec<_> = listeners
            .into_iter()
            .map(|listener| scope.spawn(move || serve(listener)))
            .collect();
        for handle in handles {
            handle.join().expect("a server's thread panicked")?;
        }
        Ok(())
    })
}
