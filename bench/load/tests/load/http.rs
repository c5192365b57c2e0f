// SPDX-License-Identifier: GPL-2.0

//! `ktcp-bench http` as its users call it.

use crate::servers::{self, bench, count, measure, scratch, start, LOOPBACK};
use std::{fs, io::Write, net::TcpStream, thread, time::Duration};

pub const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// Answers each request with what `respond` says to it, until that is empty.
pub fn answer_with(stream: TcpStream, mut respond: impl FnMut(&str) -> Vec<u8>) {
    let mut said = Vec::new();
    servers::converse(stream, |stream, bytes| {
        said.extend_from_slice(bytes);
        while let Some(end) = said.windows(4).position(|four| four == b"\r\n\r\n") {
            let request: Vec<u8> = said.drain(..end + 4).collect();
            let response = respond(std::str::from_utf8(&request).expect("ASCII"));
            if response.is_empty() || stream.write_all(&response).is_err() {
                return false;
            }
        }
        true
    });
}

/// Answers each request for `/hello` with `response`.
pub fn answer(stream: TcpStream, response: &[u8]) {
    answer_with(stream, |request| {
        let wanted = request.starts_with("GET /hello HTTP/1.1\r\nHost: 127.0.0.1:");
        let not_found = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        if wanted { response } else { not_found }.to_vec()
    });
}

pub fn greet(stream: TcpStream) {
    answer(stream, HELLO);
}

#[test]
fn every_request_is_answered() {
    let server = start(LOOPBACK, greet);
    let arguments = "--path /hello -n 7 --requests 1000 --threads 3";
    let (status, report) = measure("http", server, arguments);
    assert_eq!(status, 0, "{report:#}");
    assert_eq!(count(&report, "/http/times_ns/count"), 1000);
    assert_eq!(count(&report, "/connect/times_ns/count"), 7);
    assert_eq!(report["settings"]["path"], "/hello");
    let answers = &report["http"];
    let rates = ["per_second", "bytes_per_second"].map(|name| answers[name].as_f64());
    let [Some(rate), Some(bytes)] = rates else {
        panic!("{answers}");
    };
    assert!((bytes / rate - 5.0).abs() < 1e-6, "{answers}");
}

#[test]
fn several_requests_under_way() {
    let server = start(LOOPBACK, greet);
    let arguments = "--path /hello -n 4 --depth 16 --requests 2000";
    let (status, report) = measure("http", server, arguments);
    assert_eq!(status, 0, "{report:#}");
    assert_eq!(count(&report, "/http/times_ns/count"), 2000);
}

#[test]
fn the_ways_of_echo_are_those_of_http() {
    let server = start(LOOPBACK, greet);
    for (arguments, answers) in [
        ("--rounds 5 -n 10", 50),
        ("--reconnect --requests 60 -n 3", 60),
        ("--idle 20 --requests 30 -n 2", 30),
        ("--warm-up 0.1 --requests 400 -n 4 --threads 2", 400),
    ] {
        let (status, report) = measure("http", server, &format!("--path /hello {arguments}"));
        assert_eq!(status, 0, "{arguments}: {report:#}");
        assert_eq!(
            count(&report, "/http/times_ns/count"),
            answers,
            "{arguments}"
        );
    }
}

#[test]
fn contents_and_heads_in_crumbs() {
    let server = start(LOOPBACK, |stream| {
        stream.set_nodelay(true).expect("a socket");
        servers::converse(stream, |stream, _| {
            HELLO.chunks(3).all(|crumb| {
                thread::sleep(Duration::from_millis(1));
                stream.write_all(crumb).is_ok()
            })
        });
    });
    let (status, report) = measure("http", server, "--path /hello -n 2 --requests 8");
    assert_eq!(status, 0, "{report:#}");
    assert_eq!(count(&report, "/http/times_ns/count"), 8);
}

#[test]
fn a_content_larger_than_any_buffer() {
    let server = start(LOOPBACK, |stream| {
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
        answer(stream, &[&head[..], &vec![b'x'; 1_000_000]].concat());
    });
    let (status, report) = measure("http", server, "--path /hello -n 3 --requests 12");
    assert_eq!(status, 0, "{report:#}");
}

#[test]
fn another_status() {
    let server = start(LOOPBACK, greet);
    let (status, report) = measure("http", server, "--path /other -n 3 --requests 30");
    assert_eq!(status, 1, "{report:#}");
    assert_eq!(count(&report, "/http/failures/status"), 3);
    assert_eq!(count(&report, "/http/times_ns/count"), 0);
}

#[test]
fn a_server_that_does_not_speak_http() {
    let server = start(LOOPBACK, servers::echo);
    let (status, report) = measure("http", server, "-n 2 --requests 30");
    assert_eq!(status, 1, "{report:#}");
    assert_eq!(count(&report, "/http/failures/malformed"), 2);
}

#[test]
fn more_than_was_asked_for() {
    let server = start(LOOPBACK, |stream| answer(stream, &HELLO.repeat(2)));
    let (status, report) = measure("http", server, "--path /hello -n 2 --requests 30");
    assert_eq!(status, 1, "{report:#}");
    assert_eq!(count(&report, "/http/failures/surplus"), 2);
}

#[test]
fn a_server_that_hangs_up_amid_a_content() {
    let server = start(LOOPBACK, |stream| {
        servers::converse(stream, |stream, _| {
            let _ = stream.write_all(&HELLO[..HELLO.len() - 1]);
            false
        });
    });
    let (status, report) = measure("http", server, "--path /hello -n 5 --duration 1");
    assert_eq!(status, 1, "{report:#}");
    assert_eq!(count(&report, "/http/failures/closed"), 5);
    assert_eq!(count(&report, "/http/times_ns/count"), 0);
}

#[test]
fn a_server_that_says_nothing() {
    let server = start(LOOPBACK, servers::keep_silent);
    let (status, report) = measure("http", server, "-n 5 --duration 0.2 --timeout 0.5");
    assert_eq!(status, 1, "{report:#}");
    assert_eq!(count(&report, "/http/failures/timed_out"), 5);
    assert_eq!(count(&report, "/http/unanswered"), 5);
}

#[test]
fn a_person_reads_of_responses() {
    let server = start(LOOPBACK, greet);
    let path = scratch("http.csv");
    let arguments = format!("--path /hello --requests 5 --csv {}", path.display());
    let output = bench("http", &server.to_string(), &arguments);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("GET /hello") && text.contains("responses   5 in "),
        "{text}"
    );
    let lines = fs::read_to_string(path).expect("it was written");
    assert!(lines.contains(",/hello,1,"), "{lines}");
}

#[test]
fn what_is_no_path_is_refused() {
    for arguments in ["--path hello", "--path /a\u{e9}", "--size 3", "--verify"] {
        let output = bench("http", "127.0.0.1:1", arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments}");
        assert!(!output.stderr.is_empty());
    }
}
