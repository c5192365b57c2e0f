// SPDX-License-Identifier: GPL-2.0

//! `ktcp-bench echo` as its users call it.

use crate::servers::{self, count, scratch, start, LOOPBACK};
use serde_json::Value;
use std::{
    fs,
    net::TcpListener,
    process::Output,
    time::{Duration, Instant},
};

fn bench(server: &str, arguments: &str) -> Output {
    servers::bench("echo", server, arguments)
}

fn measure(server: impl ToString, arguments: &str) -> (i32, Value) {
    servers::measure("echo", server, arguments)
}

#[test]
fn every_request_is_answered_and_compared() {
    let server = start(LOOPBACK, servers::echo);
    let (status, report) = measure(server, "-n 7 -s 13 --requests 1000 --threads 3 --verify");
    assert_eq!(status, 0, "{report:#}");
    assert_eq!(count(&report, "/echo/times_ns/count"), 1000);
    assert_eq!(count(&report, "/connect/times_ns/count"), 7);
    let times = &report["echo"]["times_ns"];
    let order = ["min", "p50", "p90", "p99", "p99_9", "max"].map(|name| times[name].as_u64());
    assert!(order.is_sorted(), "{times}");
    assert!(order[0] > Some(0), "{times}");
}

#[test]
fn messages_of_any_size() {
    let server = start(LOOPBACK, servers::echo);
    for size in [1, 13, 65_520, 65_521, 1_000_000] {
        let (status, report) = measure(server, &format!("-n 3 -s {size} --requests 12 --verify"));
        assert_eq!(status, 0, "{size} bytes: {report:#}");
    }
}

#[test]
fn several_messages_under_way() {
    let server = start(LOOPBACK, servers::echo);
    let arguments = "-n 4 -s 100 --depth 16 --requests 2000 --verify";
    let (status, report) = measure(server, arguments);
    assert_eq!(status, 0, "{report:#}");
    assert_eq!(count(&report, "/echo/times_ns/count"), 2000);
}

#[test]
fn answers_that_come_in_crumbs() {
    let server = start(LOOPBACK, servers::echo_in_crumbs);
    let (status, report) = measure(server, "-n 2 -s 64 --requests 8 --verify");
    assert_eq!(status, 0, "{report:#}");
    assert_eq!(count(&report, "/echo/times_ns/count"), 8);
}

#[test]
fn a_time_is_kept() {
    let server = start(LOOPBACK, servers::echo);
    let started = Instant::now();
    let (status, report) = measure(server, "-n 2 --duration 0.5 --warm-up 0.2");
    assert_eq!(status, 0, "{report:#}");
    assert_eq!(report["echo"]["seconds"], 0.5);
    assert!(started.elapsed() >= Duration::from_millis(700));
    let rate = report["echo"]["per_second"].as_f64().expect("a number");
    let answers = count(&report, "/echo/times_ns/count");
    assert!((rate - answers as f64 * 2.0).abs() < 1e-6);
}

#[test]
fn after_a_warm_up_exactly_so_many_are_counted() {
    let server = start(LOOPBACK, servers::echo);
    let (status, report) = measure(server, "-n 4 --threads 2 --requests 400 --warm-up 0.1");
    assert_eq!(status, 0, "{report:#}");
    assert_eq!(count(&report, "/echo/times_ns/count"), 400);
}

#[test]
fn all_at_once_in_rounds() {
    let server = start(LOOPBACK, servers::echo);
    let (status, report) = measure(server, "-n 10 --threads 3 --rounds 5 --verify");
    assert_eq!(status, 0, "{report:#}");
    assert_eq!(count(&report, "/echo/times_ns/count"), 50);
}

#[test]
fn a_connection_for_each_message() {
    let server = start(LOOPBACK, servers::echo);
    let (status, report) = measure(server, "-n 3 --reconnect --requests 60 --verify");
    assert_eq!(status, 0, "{report:#}");
    assert_eq!(count(&report, "/echo/times_ns/count"), 60);
    // The three of the beginning show whether any can be made.
    assert_eq!(count(&report, "/connect/times_ns/count"), 63);
}

#[test]
fn idle_connections_are_not_counted() {
    let server = start(LOOPBACK, servers::echo);
    let (status, report) = measure(server, "-n 2 --idle 50 --requests 20");
    assert_eq!(status, 0, "{report:#}");
    assert_eq!(count(&report, "/echo/times_ns/count"), 20);
    assert_eq!(count(&report, "/connect/times_ns/count"), 52);
}

#[test]
fn ipv6_and_other_addresses_to_connect_from() {
    let server = start("[::1]:0", servers::echo);
    assert_eq!(measure(server, "--requests 3").0, 0);
    let server = start(LOOPBACK, servers::echo);
    let arguments = "-n 4 --requests 8 --from 127.0.0.2,127.0.0.3";
    assert_eq!(measure(server, arguments).0, 0);
    let output = bench(&server.to_string(), "--from ::1");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn nobody_listens() {
    let listener = TcpListener::bind(LOOPBACK).expect("a port");
    let server = listener.local_addr().expect("it is bound");
    drop(listener);
    for more in ["", "--reconnect"] {
        let (status, report) = measure(server, &format!("-n 3 --duration 1 {more}"));
        assert_eq!(status, 1, "{report:#}");
        assert_eq!(count(&report, "/connect/failures/refused"), 3);
        assert_eq!(count(&report, "/echo/times_ns/count"), 0);
    }
    let output = bench(&server.to_string(), "");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("1 refused") && text.contains("start the server"),
        "{text}"
    );
}

#[test]
fn wrong_bytes_are_seen_by_verify() {
    let server = start(LOOPBACK, servers::lie);
    let (status, report) = measure(server, "-n 3 --requests 30 --verify");
    assert_eq!(status, 1, "{report:#}");
    assert_eq!(count(&report, "/echo/failures/corrupt"), 3);
    assert_eq!(measure(server, "-n 3 --requests 30").0, 0);
}

#[test]
fn more_bytes_than_were_sent() {
    let server = start(LOOPBACK, servers::chatter);
    let (status, report) = measure(server, "-n 2 --requests 30");
    assert_eq!(status, 1, "{report:#}");
    assert_eq!(count(&report, "/echo/failures/surplus"), 2);
}

#[test]
fn a_server_that_says_nothing() {
    let server = start(LOOPBACK, servers::keep_silent);
    let (status, report) = measure(server, "-n 5 --duration 0.2 --timeout 0.5");
    assert_eq!(status, 1, "{report:#}");
    assert_eq!(count(&report, "/echo/failures/timed_out"), 5);
    assert_eq!(count(&report, "/echo/unanswered"), 5);
    assert_eq!(count(&report, "/echo/starved"), 5);
}

#[test]
fn a_server_that_hangs_up() {
    let server = start(LOOPBACK, servers::hang_up);
    let (status, report) = measure(server, "-n 5 --duration 1");
    assert_eq!(status, 1, "{report:#}");
    assert_eq!(count(&report, "/echo/failures/closed"), 5);
}

#[test]
fn a_server_that_resets() {
    let server = start(LOOPBACK, servers::reset);
    let (status, report) = measure(server, "-n 5 --duration 1");
    assert_eq!(status, 1, "{report:#}");
    assert_eq!(count(&report, "/echo/failures/reset"), 5);
}

#[test]
fn a_picture_is_drawn() {
    let server = start(LOOPBACK, servers::echo);
    let path = scratch("quantiles.svg");
    let arguments = format!("--requests 1000 --quiet --plot {}", path.display());
    assert_eq!(
        bench(&server.to_string(), &arguments).status.code(),
        Some(0)
    );
    let text = fs::read_to_string(path).expect("it was written");
    assert!(
        text.contains("1 connections, 64 bytes") && text.contains("<polyline"),
        "{text}"
    );
}

#[test]
fn what_makes_no_sense_is_refused() {
    for arguments in [
        "--connections 0",
        "--size 0",
        "--duration -1",
        "--duration 1 --requests 1",
        "--reconnect --rounds 2",
        "--threads 0",
        "--requests 0",
        "--rounds 0",
        "--depth 0",
        "--duration 0",
        "--duration 1e-12",
        "--duration nan",
        "--timeout 0",
    ] {
        let output = bench("127.0.0.1:1", arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        assert!(!output.stderr.is_empty());
    }
    assert_eq!(bench("nowhere", "").status.code(), Some(2));
}
