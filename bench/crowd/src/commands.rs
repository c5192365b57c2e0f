// SPDX-License-Identifier: GPL-2.0

//! What a crowd does, and what is counted of it.

use crate::{
    client::{Plan, State},
    crowd::Crowd,
    part,
    shared::{share, Way},
    stream::fill,
};
use anyhow::Result;
use clap::Subcommand;
use std::{
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

pub type Counts = Vec<(&'static str, u64)>;

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Connect, then all ask at once
    Ask {
        #[arg(long, default_value_t = 100)]
        clients: usize,
        #[arg(long, default_value_t = 64)]
        bytes: u64,
    },
    /// Say "holding N" when all have had an answer, and hold the connections until all have ended
    Hold {
        #[arg(long, default_value_t = 100)]
        clients: usize,
    },
    /// One talks beside many that are silent, which are then asked whether they are still there
    Talk {
        #[arg(long, default_value_t = 100)]
        clients: usize,
        #[arg(long, default_value_t = 64)]
        bytes: usize,
        /// For how long, in seconds
        #[arg(long = "for", default_value_t = 3, value_name = "SECONDS")]
        time: u64,
    },
    /// Send whatever goes and never read; say "deaf N" when nothing goes any more, and hold the
    /// connections until all have ended
    Deaf {
        #[arg(long, default_value_t = 100)]
        clients: usize,
    },
    /// Each sends so much and its last word, and reads nothing for a time, then everything; say "parted N"
    /// when all have sent
    Part {
        #[arg(long, default_value_t = 5)]
        clients: usize,
        #[arg(long, default_value_t = 60_000)]
        bytes: usize,
        /// For how long they do not read, in seconds
        #[arg(long = "for", default_value_t = 3, value_name = "SECONDS")]
        time: u64,
    },
    /// Each sends so much and wants all of it back, and then the end
    Transfer {
        #[arg(long, default_value_t = 10)]
        clients: usize,
        #[arg(long, default_value_t = 1 << 20)]
        bytes: u64,
    },
    /// Until time is up, so many at a time come, talk and go as it pleases them
    Storm {
        #[arg(long, default_value_t = 50)]
        clients: usize,
        /// What one sends at most
        #[arg(long, default_value_t = 100_000)]
        bytes: u64,
    },
    /// One sends pages of its own, and changes them when the server has received what was in them
    Share {
        #[arg(long, value_enum)]
        way: Way,
        /// Where the server tells what it has received
        #[arg(long, default_value = "/sys/kernel/debug/ktcp_server/kecho/stats")]
        stats: PathBuf,
    },
}

impl Command {
    pub fn run(self, crowd: &mut Crowd) -> Result<Counts> {
        match self {
            Self::Ask { clients, bytes } => ask(crowd, clients, bytes),
            Self::Hold { clients } => hold(crowd, clients),
            Self::Talk {
                clients,
                bytes,
                time,
            } => talk(crowd, clients, bytes, Duration::from_secs(time)),
            Self::Deaf { clients } => deaf(crowd, clients),
            Self::Part {
                clients,
                bytes,
                time,
            } => part::part(crowd, clients, bytes, Duration::from_secs(time)),
            Self::Transfer { clients, bytes } => transfer(crowd, clients, bytes),
            Self::Storm { clients, bytes } => storm(crowd, clients, bytes),
            Self::Share { way, stats } => share(crowd, way, &stats),
        }
    }
}

/// What was counted, and in which state the clients are.
fn with_states(crowd: &Crowd, counted: &[(&'static str, u64)]) -> Counts {
    let states = [
        ("complete", State::Complete),
        ("open", State::Open),
        ("broken", State::Broken),
        ("corrupt", State::Corrupt),
    ];
    let states = states.map(|(name, state)| (name, crowd.count(state)));
    [counted, &states].concat()
}

fn ask(crowd: &mut Crowd, clients: usize, bytes: u64) -> Result<Counts> {
    crowd.gather(clients, 1)?;
    let connected = crowd.count(State::Complete);
    let started = Instant::now();
    crowd.go_on(bytes);
    crowd.finish()?;
    let millis = started.elapsed().as_millis() as u64;
    Ok(with_states(
        crowd,
        &[("connected", connected), ("millis", millis)],
    ))
}

fn hold(crowd: &mut Crowd, clients: usize) -> Result<Counts> {
    crowd.gather(clients, 1)?;
    let held = crowd.count(State::Complete);
    println!("holding {held}");
    crowd.go_on(0);
    crowd.finish()?;
    Ok(with_states(crowd, &[("held", held)]))
}

fn talk(crowd: &mut Crowd, clients: usize, bytes: usize, time: Duration) -> Result<Counts> {
    crowd.gather(clients, 1)?;
    let idle = crowd.count(State::Complete);

    let mut stream = TcpStream::connect(crowd.next_addr())?;
    crowd.connections += 1;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let (mut sent, mut received) = (vec![0; bytes], vec![0; bytes]);
    let mut micros = Vec::new();
    let mut corrupt = 0;
    let began = Instant::now();
    while began.elapsed() < time {
        fill(crowd.random.u64(..), 0, &mut sent);
        let started = Instant::now();
        stream.write_all(&sent)?;
        stream.read_exact(&mut received)?;
        micros.push(started.elapsed().as_micros() as u64);
        crowd.compared += bytes as u64;
        corrupt += u64::from(sent != received);
    }
    micros.sort_unstable();

    crowd.go_on(1);
    crowd.finish()?;
    let mut counts = with_states(
        crowd,
        &[
            ("idle", idle),
            ("echoes", micros.len() as u64),
            (
                "median_us",
                micros.get(micros.len() / 2).copied().unwrap_or(0),
            ),
            ("longest_us", micros.last().copied().unwrap_or(0)),
        ],
    );
    if let Some((_, count)) = counts.iter_mut().find(|(key, _)| *key == "corrupt") {
        *count += corrupt;
    }
    Ok(counts)
}

fn deaf(crowd: &mut Crowd, clients: usize) -> Result<Counts> {
    for _ in 0..clients {
        crowd.connect(Plan {
            total: u64::MAX,
            reads: false,
            half_closes: false,
        })?;
    }
    let mut sent = 0;
    let mut quiet = Instant::now();
    while quiet.elapsed() < Duration::from_secs(1) && !crowd.is_over() {
        crowd.turn(Duration::from_millis(100))?;
        let now = crowd.clients.iter().map(|(_, client)| client.sent).sum();
        if now != sent {
            (sent, quiet) = (now, Instant::now());
        }
    }
    println!("deaf {}", crowd.count(State::Open));
    crowd.finish()?;
    Ok(with_states(crowd, &[("sent", sent)]))
}

fn transfer(crowd: &mut Crowd, clients: usize, bytes: u64) -> Result<Counts> {
    let plan = Plan {
        half_closes: true,
        ..Plan::echo(bytes)
    };
    let mut refused = 0;
    for _ in 0..clients {
        refused += u64::from(crowd.connect(plan).is_err());
        crowd.turn(Duration::ZERO)?;
    }
    crowd.finish()?;
    let received = crowd.clients.iter().map(|(_, client)| client.received);
    let received = received.sum();
    Ok(with_states(
        crowd,
        &[("refused", refused), ("received", received)],
    ))
}

fn storm(crowd: &mut Crowd, clients: usize, most: u64) -> Result<Counts> {
    let (mut refused, mut left) = (0, 0);
    let (mut complete, mut broken, mut corrupt) = (0, 0, 0);
    while !crowd.is_over() {
        while crowd.clients.len() < clients && !crowd.is_over() {
            let random = &mut crowd.random;
            let total = match random.u8(..4) {
                0 => 0,
                1 => random.u64(1..=64),
                _ => random.u64(1..=most),
            };
            let plan = Plan {
                total,
                reads: random.u8(..8) != 0,
                half_closes: random.bool(),
            };
            if crowd.connect(plan).is_err() {
                refused += 1;
                thread::sleep(Duration::from_millis(5));
            }
        }
        crowd.turn(Duration::from_millis(10))?;
        let random = &mut crowd.random;
        crowd.clients.retain(|_, client| {
            match client.state {
                State::Open if random.u8(..50) == 0 => {
                    if random.bool() {
                        // One that is reset already does not mind.
                        let _ = client.reset_on_close();
                    }
                    left += 1;
                }
                State::Open => return true,
                State::Complete => complete += 1,
                State::Broken => broken += 1,
                State::Corrupt => corrupt += 1,
            }
            false
        });
    }
    Ok(vec![
        ("refused", refused),
        ("left", left),
        ("complete", complete),
        ("broken", broken),
        ("corrupt", corrupt),
    ])
}
