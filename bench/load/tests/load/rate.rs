// SPDX-License-Identifier: GPL-2.0

//! `--rate`: messages by the clock, and what that shows.

use crate::servers::{self, bench, count, measure, start, unused_port, LOOPBACK};
use serde_json::Value;
use std::{
    io::Write,
    net::SocketAddr,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

const SECOND: u64 = 1_000_000_000;

/// An echo server that stands still from `begin` to `end`, in milliseconds since its first message.
fn pausing(begin: u64, end: u64) -> SocketAddr {
    let first: &'static OnceLock<Instant> = Box::leak(Box::default());
    let (begin, end) = (Duration::from_millis(begin), Duration::from_millis(end));
    start(LOOPBACK, move |stream| {
        servers::converse(stream, |stream, bytes| {
            let since = first.get_or_init(Instant::now).elapsed();
            if (begin..end).contains(&since) {
                thread::sleep(end - since);
            }
            stream.write_all(bytes).is_ok()
        });
    })
}

/// An echo server that takes 10 ms for each message of a connection.
fn slow() -> SocketAddr {
    start(LOOPBACK, |stream| {
        servers::converse(stream, |stream, bytes| {
            thread::sleep(Duration::from_millis(10));
            stream.write_all(bytes).is_ok()
        });
    })
}

fn p99(report: &Value) -> u64 {
    count(report, "/echo/times_ns/p99")
}

#[test]
fn every_message_of_the_schedule_is_answered() {
    let server = start(LOOPBACK, servers::echo);
    for (arguments, answers) in [
        ("--rate 200 --duration 1 -n 4 --threads 2", 200),
        (
            "--rate 200 --duration 0.5 --warm-up 0.3 -n 4 --threads 3",
            100,
        ),
        ("--rate 1000 --requests 50 -n 2", 50),
        ("--rate 0.5 --duration 0.3", 1),
        ("--rate 7.5 --duration 1", 8),
        ("--rate 1000 --requests 100 --reconnect -n 3", 100),
        ("--rate 500 --duration 0.4 --idle 5 --depth 4", 200),
    ] {
        let (status, report) = measure("echo", server, arguments);
        assert_eq!(status, 0, "{arguments}: {report:#}");
        assert_eq!(count(&report, "/echo/count"), answers, "{arguments}");
        assert_eq!(
            count(&report, "/echo/times_ns/count"),
            answers,
            "{arguments}"
        );
    }
}

#[test]
fn rate_is_kept_though_many_connections_share_a_thread() {
    let server = start(LOOPBACK, servers::echo);
    let arguments = "--rate 400 --duration 1 -n 300 --threads 1";
    let (status, report) = measure("echo", server, arguments);
    assert_eq!(status, 0, "{report:#}");
    assert_eq!(count(&report, "/echo/count"), 400);
    let rate = report["echo"]["per_second"].as_f64().expect("a number");
    assert!((300.0..=400.0).contains(&rate), "{rate}");
}

#[test]
fn pause_of_half_the_time_is_seen_in_p99() {
    for (begin, end) in [(700, 2200), (0, 1500), (1500, 3000)] {
        let server = pausing(begin, end);
        let (status, report) = measure("echo", server, "--rate 200 -n 4 --duration 3");
        assert_eq!(status, 0, "{begin}: {report:#}");
        assert_eq!(count(&report, "/echo/count"), 600, "{begin}");
        assert!(p99(&report) > SECOND * 13 / 10, "{begin}: {report:#}");
        // Half of the messages were due in the pause, and waited half of it on average.
        let mean = report["echo"]["times_ns"]["mean"]
            .as_f64()
            .expect("a number");
        assert!(mean > 0.3e9, "{begin}: {mean}");
    }
}

#[test]
fn closed_loop_does_not_see_the_pause_and_says_so() {
    let server = pausing(700, 2200);
    let output = bench("echo", &server.to_string(), "-n 4 --duration 3 --json -");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    // One message of each connection is a hundredth of the messages only if they are few.
    assert!(count(&report, "/echo/count") > 400, "{report:#}");
    assert!(p99(&report) < SECOND / 2, "{report:#}");
    assert!(count(&report, "/echo/times_ns/max") > SECOND, "{report:#}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("closed loop") && text.contains("--rate"),
        "{text}"
    );
}

#[test]
fn pause_without_end_is_seen_in_p99() {
    let server = pausing(500, 600_000);
    let arguments = "--rate 200 -n 2 --duration 2 --timeout 3";
    let (status, report) = measure("echo", server, arguments);
    assert_eq!(status, 1, "{report:#}");
    assert!(count(&report, "/echo/unsent") > 200, "{report:#}");
    assert_eq!(count(&report, "/echo/unanswered"), 2);
    assert!(p99(&report) > SECOND * 13 / 10, "{report:#}");
    let all =
        ["count", "unsent", "unanswered"].map(|name| count(&report, &format!("/echo/{name}")));
    assert_eq!(all.iter().sum::<u64>(), 400, "{report:#}");
    assert_eq!(count(&report, "/echo/times_ns/count"), 400, "{report:#}");
}

#[test]
fn rate_beyond_the_server_leaves_messages_unsent() {
    let server = slow();
    let started = Instant::now();
    let output = bench(
        "echo",
        &server.to_string(),
        "--rate 1000 --duration 1 --json -",
    );
    assert!(started.elapsed() < Duration::from_secs(8));
    assert_eq!(output.status.code(), Some(1));
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let (answers, unsent) = (
        count(&report, "/echo/count"),
        count(&report, "/echo/unsent"),
    );
    // A hundred a second in the time and in the second after it
    assert!((1..=205).contains(&answers), "{report:#}");
    assert_eq!(answers + unsent, 1000, "{report:#}");
    let rate = report["echo"]["per_second"].as_f64().expect("a number");
    assert!(rate <= 101.0, "{report:#}");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("unsent  ") && text.contains("1000 a second were due"),
        "{text}"
    );
}

#[test]
fn highest_rate_ends_in_time() {
    let server = start(LOOPBACK, servers::echo);
    let (status, report) = measure("echo", server, "--rate 1e8 --duration 0.2 -n 2 --threads 2");
    assert_eq!(status, 1, "{report:#}");
    let (answers, unsent) = (
        count(&report, "/echo/count"),
        count(&report, "/echo/unsent"),
    );
    assert_eq!(answers + unsent, 20_000_000, "{report:#}");
}

#[test]
fn rate_without_a_server_ends_at_once() {
    let started = Instant::now();
    let server = format!("127.0.0.1:{}", unused_port());
    for more in ["", "--reconnect"] {
        let arguments = format!("-n 3 --rate 100 --duration 30 {more}");
        let (status, report) = measure("echo", &server, &arguments);
        assert_eq!(status, 1, "{report:#}");
        assert_eq!(count(&report, "/connect/failures/refused"), 3);
        assert_eq!(count(&report, "/echo/count"), 0);
    }
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn rates_that_make_no_sense_are_refused() {
    for arguments in [
        "--rate 0",
        "--rate -1",
        "--rate nan",
        "--rate inf",
        "--rate 1e-300",
        "--rate 1e9",
        "--rate fast",
        "--rate 10 --rounds 2",
    ] {
        let output = bench("echo", "127.0.0.1:1", arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        assert!(!output.stderr.is_empty());
    }
}
