// SPDX-License-Identifier: GPL-2.0

//! Servers that close a connection after some answers.

use crate::{
    http::{self, HELLO},
    servers::{self, bench, count, measure, start, LOOPBACK},
};
use serde_json::Value;
use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";

/// How many answers a connection gets.
const KEPT: usize = 3;

/// Says with the last answer that it is the last.
fn announce(stream: TcpStream) {
    let mut answered = 0;
    http::answer_with(stream, |_| {
        answered += 1;
        match answered {
            ..KEPT => HELLO.to_vec(),
            KEPT => LAST.to_vec(),
            _ => Vec::new(),
        }
    });
}

/// As `announce`, but leaves it to the client to close.
fn announce_and_wait(stream: TcpStream) {
    let mut answered = 0;
    servers::converse(stream, |stream, _| {
        answered += 1;
        let response = if answered < KEPT { HELLO } else { LAST };
        answered > KEPT || stream.write_all(response).is_ok()
    });
}

/// Closes right after the last answer, and does not say so.
fn close_behind(stream: TcpStream) {
    let mut answered = 0;
    servers::converse(stream, |stream, _| {
        answered += 1;
        stream.write_all(HELLO).is_ok() && answered < KEPT
    });
}

/// Closes instead of the next answer.
fn close_instead(stream: TcpStream) {
    let mut answered = 0;
    http::answer_with(stream, |_| {
        answered += 1;
        if answered > KEPT {
            Vec::new()
        } else {
            HELLO.to_vec()
        }
    });
}

/// As servers of HTTP/1.0 do: a content ends with its connection.
fn old(stream: TcpStream) {
    servers::converse(stream, |stream, _| {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nhello, all of you");
        false
    });
}

/// HTTP/1.0 with a length, and connections that are kept if the server says so.
fn old_and_kept(stream: TcpStream) {
    let mut answered = 0;
    servers::converse(stream, |stream, _| {
        answered += 1;
        let kept: &[u8] =
            b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nhi";
        let last: &[u8] = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi";
        let response = if answered < KEPT { kept } else { last };
        stream.write_all(response).is_ok() && answered < KEPT
    });
}

fn close_echo(stream: TcpStream) {
    let mut answered = 0;
    servers::converse(stream, |stream, bytes| {
        answered += 1;
        stream.write_all(bytes).is_ok() && answered < KEPT
    });
}

fn reconnects(report: &Value, protocol: &str) -> u64 {
    ["announced", "unannounced"]
        .map(|way| count(report, &format!("/{protocol}/reconnects/{way}")))
        .iter()
        .sum()
}

/// A name, what serves a connection, and how its close is counted.
type Closing = (&'static str, fn(TcpStream), &'static str);

const SERVERS: [Closing; 6] = [
    ("announce", announce, "announced"),
    ("announce_and_wait", announce_and_wait, "announced"),
    ("close_behind", close_behind, "unannounced"),
    ("close_instead", close_instead, "unannounced"),
    ("old", old, "announced"),
    ("old_and_kept", old_and_kept, "announced"),
];

#[test]
fn run_by_time_goes_on_after_connections_are_closed() {
    for (name, serve, way) in SERVERS {
        let server = start(LOOPBACK, serve);
        let (status, report) = measure("http", server, "-n 4 --threads 2 --duration 0.4");
        assert_eq!(status, 0, "{name}: {report:#}");
        assert_eq!(report["http"]["seconds"], 0.4, "{name}");
        assert!(
            count(&report, "/http/count") > 4 * KEPT as u64,
            "{name}: {report:#}"
        );
        let counted = count(&report, &format!("/http/reconnects/{way}"));
        assert!(counted > 0, "{name}: {report:#}");
        assert_eq!(counted, reconnects(&report, "http"), "{name}: {report:#}");
        // The four of the beginning, and those that took their places
        let made = count(&report, "/connect/times_ns/count");
        assert_eq!(made, 4 + counted, "{name}: {report:#}");
    }
}

#[test]
fn every_request_is_answered_once_though_connections_are_closed() {
    for (name, serve, _) in SERVERS {
        let server = start(LOOPBACK, serve);
        for more in [
            "--requests 50",
            "--requests 50 --warm-up 0.02",
            "--requests 50 --rate 1000",
            "--rounds 25",
        ] {
            let (status, report) = measure("http", server, &format!("-n 2 {more}"));
            assert_eq!(status, 0, "{name} {more}: {report:#}");
            assert_eq!(count(&report, "/http/count"), 50, "{name} {more}");
            assert!(reconnects(&report, "http") > 0, "{name} {more}: {report:#}");
        }
    }
}

#[test]
fn requests_under_way_at_the_close_are_sent_again() {
    for (name, serve) in [
        ("announce", announce as fn(TcpStream)),
        ("close_instead", close_instead),
    ] {
        let server = start(LOOPBACK, serve);
        let (status, report) = measure("http", server, "-n 2 --depth 16 --requests 100");
        assert_eq!(status, 0, "{name}: {report:#}");
        assert_eq!(count(&report, "/http/count"), 100, "{name}");
        assert!(
            reconnects(&report, "http") >= 100 / KEPT as u64 - 2,
            "{name}: {report:#}"
        );
    }
}

#[test]
fn connection_for_each_request_is_no_reconnect() {
    let server = start(LOOPBACK, old);
    for more in ["", "--rate 1000"] {
        let (status, report) =
            measure("http", server, &format!("--reconnect --requests 20 {more}"));
        assert_eq!(status, 0, "{report:#}");
        assert_eq!(count(&report, "/http/count"), 20);
        assert_eq!(reconnects(&report, "http"), 0);
    }
}

#[test]
fn echo_server_that_closes_is_a_failure_and_the_run_goes_on() {
    let server = start(LOOPBACK, close_echo);
    let (status, report) = measure("echo", server, "-n 2 --duration 0.4 --verify");
    assert_eq!(status, 1, "{report:#}");
    assert_eq!(report["echo"]["seconds"], 0.4);
    assert!(
        count(&report, "/echo/count") > 2 * KEPT as u64,
        "{report:#}"
    );
    assert!(reconnects(&report, "echo") > 0, "{report:#}");
    let failures = ["closed", "reset"].map(|way| count(&report, &format!("/echo/failures/{way}")));
    assert!(
        failures.iter().sum::<u64>() >= reconnects(&report, "echo"),
        "{report:#}"
    );
    assert_eq!(count(&report, "/echo/unanswered"), 0, "{report:#}");
}

#[test]
fn response_that_is_cut_is_a_failure_and_the_run_goes_on() {
    let server = start(LOOPBACK, |stream| {
        let mut answered = 0;
        servers::converse(stream, |stream, _| {
            answered += 1;
            let end = if answered < KEPT {
                HELLO.len()
            } else {
                HELLO.len() - 1
            };
            stream.write_all(&HELLO[..end]).is_ok() && answered < KEPT
        });
    });
    let (status, report) = measure("http", server, "-n 2 --requests 40");
    assert_eq!(status, 1, "{report:#}");
    assert_eq!(count(&report, "/http/count"), 40);
    assert!(count(&report, "/http/failures/closed") > 0, "{report:#}");
}

#[test]
fn idle_connection_that_is_closed_is_a_failure() {
    let server = start(LOOPBACK, old);
    let (status, report) = measure("http", server, "--idle 2 --requests 5");
    assert_eq!(status, 1, "{report:#}");
    assert_eq!(count(&report, "/http/failures/closed"), 2);
    assert_eq!(count(&report, "/http/count"), 5);
}

/// Answers `KEPT` requests on one connection, then is gone for `pause`, then serves all that come.
fn restart(pause: Option<Duration>) -> std::net::SocketAddr {
    let listener = TcpListener::bind(LOOPBACK).expect("a port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        let (stream, _) = listener.accept().expect("the load generator");
        drop(listener);
        close_behind(stream);
        let Some(pause) = pause else {
            return;
        };
        thread::sleep(pause);
        let listener = TcpListener::bind(address).expect("the same port");
        for stream in listener.incoming().flatten() {
            thread::spawn(move || http::answer_with(stream, |_| HELLO.to_vec()));
        }
    });
    address
}

#[test]
fn server_that_starts_anew_is_found_again() {
    let server = restart(Some(Duration::from_millis(300)));
    let (status, report) = measure("http", server, "--duration 1.5");
    assert_eq!(status, 1, "{report:#}");
    assert!(
        count(&report, "/connect/failures/refused") > 0,
        "{report:#}"
    );
    assert_eq!(reconnects(&report, "http"), 1, "{report:#}");
    assert!(count(&report, "/http/count") > KEPT as u64, "{report:#}");
    assert_eq!(report["http"]["seconds"], 1.5);
    // The request that waited for the server counts with all its time.
    assert!(
        count(&report, "/http/times_ns/max") > 250_000_000,
        "{report:#}"
    );
}

#[test]
fn server_that_is_gone_ends_the_run_when_a_request_has_waited_its_time() {
    let server = restart(None);
    let started = Instant::now();
    let (status, report) = measure("http", server, "--duration 60 --timeout 0.5");
    assert_eq!(status, 1, "{report:#}");
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(count(&report, "/http/count"), KEPT as u64);
    assert_eq!(count(&report, "/http/unanswered"), 1);
}

#[test]
fn summary_says_how_often_it_reconnected() {
    let server = start(LOOPBACK, announce);
    let output = bench("http", &server.to_string(), "--requests 30");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.contains("reconnects  ") && text.contains("as announced"),
        "{text}"
    );
}
