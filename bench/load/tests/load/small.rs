// SPDX-License-Identifier: GPL-2.0

//! Fewer messages than threads or connections: every combination of small numbers ends, and counts
//! just what it was asked for.

use crate::servers::{self, count, measure, start, LOOPBACK};

fn each(modes: &[&str]) {
    let server = start(LOOPBACK, servers::echo);
    for requests in [1, 2, 3, 5] {
        for connections in [1, 2, 4] {
            for threads in [1, 2, 3, 8] {
                for mode in modes {
                    let arguments = format!(
                        "--requests {requests} -n {connections} --threads {threads} {mode}"
                    );
                    let (status, report) = measure("echo", server, &arguments);
                    assert_eq!(status, 0, "{arguments}: {report:#}");
                    let answers = count(&report, "/echo/count");
                    assert_eq!(answers, requests, "{arguments}: {report:#}");
                }
            }
        }
    }
}

#[test]
fn fewer_requests_than_threads_are_all_answered() {
    each(&["", "--depth 3", "--idle 1", "--idle 7"]);
}

#[test]
fn fewer_requests_than_threads_on_a_connection_each_are_all_answered() {
    each(&["--reconnect", "--reconnect --rate 10000"]);
}

#[test]
fn fewer_requests_than_threads_after_a_warm_up_are_all_answered() {
    each(&["--warm-up 0.01", "--warm-up 0.01 --depth 3"]);
}

#[test]
fn fewer_requests_than_threads_at_a_rate_are_all_answered() {
    each(&["--rate 10000", "--rate 1000 --depth 2 --warm-up 0.01"]);
}

#[test]
fn fewer_connections_than_threads_in_rounds_are_all_answered() {
    let server = start(LOOPBACK, servers::echo);
    for connections in [1, 2, 4] {
        for threads in [1, 3, 8] {
            let arguments = format!("--rounds 2 -n {connections} --threads {threads}");
            let (status, report) = measure("echo", server, &arguments);
            assert_eq!(status, 0, "{arguments}: {report:#}");
            assert_eq!(count(&report, "/echo/count"), 2 * connections);
        }
    }
}
