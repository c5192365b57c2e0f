// SPDX-License-Identifier: GPL-2.0

//! The command line.

use crate::{
    http,
    plan::{Limit, Plan, Protocol},
    plot::Chart,
    quantiles,
    report::{number, Report},
    run::{self, Outcome, Progress},
    target::Target,
};
use anyhow::{bail, Context, Result};
use clap::{Args, Parser, Subcommand};
use std::{
    io::{self, IsTerminal, Write},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

/// Set by Ctrl-C: what was measured until then is still shown.
static STOP: AtomicBool = AtomicBool::new(false);

/// Load generator for TCP servers.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

const EXIT: &str = "Exit status: 0 if every connection was made and every message answered, 1 if \
    not (the summary tells what went wrong), 2 if nothing could be measured.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Send messages to an echo server and measure what comes back
    #[command(after_help = EXIT)]
    Echo(Box<Echo>),
    /// Ask an HTTP server for a file again and again, on connections that stay open
    #[command(after_help = EXIT)]
    Http(Box<Http>),
    /// Draw a chart, described in JSON, as SVG
    Plot(Plot),
}

/// The options of `ktcp-bench plot`
#[derive(Debug, Args)]
struct Plot {
    /// The chart: {"title", "x": {"label", "log", "unit"}, "y": …, "series": [{"name", "points"}]};
    /// with "rows", a list of names, the second number of a point is that of a row
    chart: PathBuf,

    /// The picture
    svg: PathBuf,
}

/// The options of `ktcp-bench echo`
#[derive(Debug, Args)]
struct Echo {
    /// Bytes of a message
    #[arg(long, short = 's', default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    size: u64,

    /// Compare every byte that comes back
    #[arg(long)]
    verify: bool,

    #[command(flatten)]
    load: Load,
}

/// The options of `ktcp-bench http`
#[derive(Debug, Args)]
struct Http {
    /// The path of the file, as it stands in a request
    #[arg(long, short = 'p', default_value = "/", value_parser = path)]
    path: String,

    #[command(flatten)]
    load: Load,
}

/// The options of all loads
#[derive(Debug, Args)]
struct Load {
    /// The server. If the name has several addresses, each connection tries one after the other. IPv6
    /// in brackets: [::1]:80, or with the interface of a link-local address [fe80::1%eth0]:80
    #[arg(long, value_name = "HOST:PORT")]
    connect: Target,

    /// Connections that send at the same time
    #[arg(long, short = 'n', default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,

    #[command(flatten)]
    until: Until,

    /// Messages a second of all connections together, sent by the clock whatever the server does (open
    /// loop). Their times count from when they were due, so that a pause of the server delays all that
    /// were due in it. Without it each connection sends when it has its answer (closed loop), and a
    /// pause delays one message of each
    #[arg(long, value_name = "N", value_parser = rate, conflicts_with = "rounds")]
    rate: Option<f64>,

    /// Messages that a connection has under way at the same time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    depth: u64,

    /// Further connections, which exchange one message and then are silent
    #[arg(long, default_value_t = 0, value_name = "N")]
    idle: u32,

    /// Connect, exchange one message, close, and again
    #[arg(long, conflicts_with_all = ["depth", "rounds"])]
    reconnect: bool,

    /// Threads of the load generator [default: one for each CPU]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1024))]
    threads: Option<u32>,

    /// Seconds that pass under load before counting begins
    #[arg(long, default_value = "0", value_name = "S", value_parser = seconds, conflicts_with = "rounds")]
    warm_up: Duration,

    /// Seconds that a connection or an answer may take
    #[arg(long, default_value = "10", value_name = "S", value_parser = some_seconds)]
    timeout: Duration,

    /// Local addresses to connect from, in turn; each has some 28,000 ports
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',')]
    from: Vec<IpAddr>,

    /// Show the CPU time of the threads whose names begin so, and that of the load generator
    #[arg(long, value_name = "NAME")]
    watch: Option<String>,

    /// No progress and no summary
    #[arg(long, short)]
    quiet: bool,

    #[command(flatten)]
    files: Files,
}

/// When it ends
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Until {
    /// Seconds to count for [default: 10]
    #[arg(long, short, value_name = "S", value_parser = some_seconds)]
    duration: Option<Duration>,

    /// Messages to count
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,

    /// Times that all connections send one message at once and wait for all the answers
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: Option<u64>,
}

impl Until {
    fn limit(&self) -> Limit {
        match (self.requests, self.rounds) {
            (Some(requests), _) => Limit::Requests(requests),
            (_, Some(rounds)) => Limit::Rounds(rounds),
            _ => Limit::Time(self.duration.unwrap_or(Duration::from_secs(10))),
        }
    }
}

/// Where the results go, beside the summary
#[derive(Debug, Args)]
struct Files {
    /// Write the result as JSON; `-` is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Append the result as a line of CSV, after one with the names if the file is new; `-`
    /// is standard output
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    /// Draw how long which part of the messages took, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let value: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    if !(0.0..=86_400.0).contains(&value) {
        return Err("must be 0 to 86400 seconds".into());
    }
    Ok(Duration::from_secs_f64(value))
}

fn some_seconds(text: &str) -> Result<Duration, String> {
    match seconds(text)? {
        Duration::ZERO => Err("must be more than 0 seconds".into()),
        time => Ok(time),
    }
}

/// More than a machine can send, so that times in nanoseconds can tell the messages apart
const MAX_RATE: f64 = 1e8;

fn rate(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    // A message a day
    if !(1.0 / 86_400.0..=MAX_RATE).contains(&value) {
        return Err(format!(
            "must be more than 0 and at most {MAX_RATE} messages a second"
        ));
    }
    Ok(value)
}

fn path(text: &str) -> Result<String, String> {
    if !text.starts_with('/') || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            "must begin with /, and have nothing in it that is to be percent-encoded".into(),
        );
    }
    Ok(text.to_owned())
}

impl Echo {
    fn run(&self) -> Result<bool> {
        let protocol = Protocol::Echo {
            verify: self.verify,
        };
        self.load.run(protocol, self.size)
    }
}

impl Http {
    fn run(&self) -> Result<bool> {
        let request = http::request(&self.load.connect, &self.path);
        let size = request.len() as u64;
        let path = self.path.clone();
        self.load.run(Protocol::Http { path, request }, size)
    }
}

impl Load {
    fn plan(&self, protocol: Protocol, size: u64) -> Result<Plan> {
        let server = self.connect.to_string();
        let mut to = self
            .connect
            .addresses()
            .with_context(|| format!("--connect {server}"))?;
        if let Some(first) = self.from.first() {
            if let Some(other) = self.from.iter().find(|a| a.is_ipv4() != first.is_ipv4()) {
                bail!("--from {first},{other}: addresses of two families");
            }
            to.retain(|to| to.is_ipv4() == first.is_ipv4());
            if to.is_empty() {
                bail!("--from {first}: the server {server} is of the other address family");
            }
        }
        let limit = self.until.limit();
        let connections = self.connections as usize;
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let threads = self.threads.map_or(cpus, |threads| threads as usize);
        Ok(Plan {
            server,
            to,
            from: self.from.clone(),
            connections,
            idle: self.idle as usize,
            protocol,
            size,
            depth: self.depth,
            limit,
            rate: self.rate,
            warm_up: self.warm_up,
            threads: Plan::threads(threads, connections, limit),
            reconnect: self.reconnect,
            timeout: self.timeout,
        })
    }

    fn run(&self, protocol: Protocol, size: u64) -> Result<bool> {
        let plan = self.plan(protocol, size)?;
        let mut display = Display::new(&plan, self.quiet);
        display.begin();
        let outcome = run::run(&plan, &STOP, self.watch.as_deref(), &mut |progress| {
            display.show(progress);
        })?;
        display.end();
        let report = Report::new(&plan, &outcome);
        self.files.write(&report)?;
        self.files.draw(&title(&plan), &outcome)?;
        if !self.quiet {
            // Standard output may be that of the JSON.
            eprint!("{report}");
        }
        explain(&plan, &outcome);
        Ok(report.is_flawless())
    }
}

/// What stands above a picture
fn title(plan: &Plan) -> String {
    let connections = number(plan.connections as u64);
    format!(
        "{}: {connections} connections, {}",
        plan.server,
        asked(plan)
    )
}

/// What is asked, for a person
fn asked(plan: &Plan) -> String {
    match &plan.protocol {
        Protocol::Echo { .. } => format!("{} bytes", number(plan.size)),
        Protocol::Http { path, .. } => format!("GET {path}"),
    }
}

/// What to do about failures whose reason is known
fn explain(plan: &Plan, outcome: &Outcome) {
    let tally = &outcome.tally;
    if tally.not_connected.refused > 0 && tally.connects.is_empty() {
        let tried: Vec<_> = plan.to.iter().map(ToString::to_string).collect();
        let tried = tried.join(" and ");
        eprintln!("  -> nothing listens at {tried}: start the server, or look at --connect");
    } else if tally.not_connected.local > 0 {
        eprintln!("  -> more ports: --from 127.0.0.1,127.0.0.2,…; more files: ulimit -n");
    }
}

impl Plot {
    fn run(&self) -> Result<bool> {
        let text = Chart::read(&self.chart)?.draw()?;
        std::fs::write(&self.svg, text).with_context(|| self.svg.display().to_string())?;
        Ok(true)
    }
}

impl Files {
    fn draw(&self, title: &str, outcome: &Outcome) -> Result<()> {
        let Some(path) = &self.plot else {
            return Ok(());
        };
        let answers = &outcome.tally.answers;
        if answers.len() < 2 {
            eprintln!(
                "  -> {}: not drawn, for nothing was answered",
                path.display()
            );
            return Ok(());
        }
        let text = quantiles::chart(title.to_owned(), answers).draw()?;
        std::fs::write(path, text).with_context(|| path.display().to_string())
    }

    fn write(&self, report: &Report) -> Result<()> {
        if let Some(path) = &self.json {
            let mut text = serde_json::to_vec_pretty(report)?;
            text.push(b'\n');
            if path == Path::new("-") {
                io::stdout().write_all(&text)?;
            } else {
                std::fs::write(path, text).with_context(|| path.display().to_string())?;
            }
        }
        if let Some(path) = &self.csv {
            if path == Path::new("-") {
                io::stdout().write_all(&report.csv(true)?)?;
            } else {
                report
                    .append_csv(path)
                    .with_context(|| path.display().to_string())?;
            }
        }
        Ok(())
    }
}

/// The moving line of a terminal
struct Display {
    title: String,
    answers: &'static str,
    moving: bool,
    quiet: bool,
    last: u64,
}

impl Display {
    fn new(plan: &Plan, quiet: bool) -> Self {
        let idle = match plan.idle {
            0 => String::new(),
            idle => format!(" and {} idle ones", number(idle as u64)),
        };
        let rate = match plan.rate {
            None => String::new(),
            Some(rate) => format!(", {rate} a second"),
        };
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        Self {
            title: format!(
                "{}: {} connection{}{idle}, {}{rate}, {} thread{}",
                plan.server,
                number(plan.connections as u64),
                plural(plan.connections),
                asked(plan),
                plan.threads,
                plural(plan.threads),
            ),
            answers: plan.protocol.answers(),
            moving: !quiet && io::stderr().is_terminal(),
            quiet,
            last: 0,
        }
    }

    fn begin(&self) {
        if !self.quiet {
            eprintln!("{}", self.title);
        }
    }

    fn show(&mut self, progress: Progress) {
        if !self.moving {
            return;
        }
        let rate = (progress.answered - self.last) * 10;
        self.last = progress.answered;
        let what = match progress.counting {
            None => format!("{} connected", number(progress.connected)),
            Some(time) => format!(
                "{:.1} s, {} {}, {} a second",
                time.as_secs_f64(),
                number(progress.answered),
                self.answers,
                number(rate)
            ),
        };
        let failed = match progress.failed {
            0 => String::new(),
            failed => format!(", {} failed", number(failed)),
        };
        eprint!("\r  {what}{failed}\x1b[K");
    }

    fn end(&self) {
        if self.moving {
            eprint!("\r\x1b[K");
        }
    }
}

impl Cli {
    /// Does what was asked for; whether all of it went well.
    pub fn run(&self) -> Result<bool> {
        // A second Ctrl-C ends the process at once.
        ctrlc::set_handler(|| {
            if STOP.swap(true, Relaxed) {
                std::process::exit(130);
            }
        })?;
        match &self.command {
            Command::Echo(echo) => echo.run(),
            Command::Http(http) => http.run(),
            Command::Plot(plot) => plot.run(),
        }
    }
}
