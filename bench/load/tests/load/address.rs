// SPDX-License-Identifier: GPL-2.0

//! `--connect`: names and addresses.

use crate::{
    http::HELLO,
    servers::{self, bench, count, measure, start, LOOPBACK},
};
use std::{
    env,
    io::Write,
    net::{TcpStream, ToSocketAddrs},
    process::Command,
};

/// Set where the test runs in a network of its own.
const NAMESPACE: &str = "KTCP_BENCH_TEST_NAMESPACE";

#[test]
fn name_with_several_addresses_reaches_a_server_on_each() {
    // In the build root those are two; elsewhere there may be one of IPv4 only.
    let addresses = ("localhost", 0).to_socket_addrs().expect("a known name");
    for address in addresses {
        let server = start(&address.to_string(), servers::echo);
        let name = format!("localhost:{}", server.port());
        for more in ["", "--reconnect", "--rate 1000", "-n 50 --threads 4"] {
            let (status, report) = measure("echo", &name, &format!("--requests 60 {more}"));
            assert_eq!(status, 0, "{address} {more}: {report:#}");
            assert_eq!(count(&report, "/echo/count"), 60);
            assert_eq!(report["settings"]["server"], server.to_string());
        }
    }
}

#[test]
fn addresses_without_a_server_are_all_named() {
    let server = start(LOOPBACK, servers::echo);
    let unused = servers::unused_port();
    let output = bench("echo", &format!("localhost:{unused}"), "-n 2");
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    // Each connection is counted once, however many addresses it has tried.
    assert!(text.contains("2 refused"), "{text}");
    assert!(text.contains(&format!("127.0.0.1:{unused}")), "{text}");
    assert_eq!(measure("echo", server, "--requests 1").0, 0);
}

#[test]
fn mapped_address_is_that_of_ipv4() {
    let server = start(LOOPBACK, servers::echo);
    let mapped = format!("[::ffff:127.0.0.1]:{}", server.port());
    let (status, report) = measure("echo", mapped, "--requests 3 --from 127.0.0.2");
    assert_eq!(status, 0, "{report:#}");
    assert_eq!(report["settings"]["server"], server.to_string());
}

#[test]
fn texts_that_are_no_server_are_refused() {
    for text in [
        "nowhere",
        "localhost:65536",
        "localhost:0",
        "localhost:",
        ":80",
        "::1:80",
        "[::1]",
        "[fe80::1]:80",
        "[fe80::1%no-such-zone]:80",
        "http://localhost:80",
        "no-such-host.invalid:80",
    ] {
        let output = bench("http", text, "--requests 1");
        assert_eq!(output.status.code(), Some(2), "{text}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("--connect"), "{text}: {said}");
    }
    let output = bench("echo", "127.0.0.1:1", "--from 127.0.0.2,::1");
    assert_eq!(output.status.code(), Some(2));
}

/// Answers if the Host field is `[fe80::1]:PORT`.
fn greet_link_local(stream: TcpStream) {
    let port = stream.local_addr().expect("a connection").port();
    let right = format!("\r\nHost: [fe80::1]:{port}\r\n");
    servers::converse(stream, |stream, bytes| {
        let is_right = String::from_utf8_lossy(bytes).contains(&right);
        let bad: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(if is_right { HELLO } else { bad }).is_ok()
    });
}

#[test]
fn link_local_address_with_a_zone_is_reached_and_the_zone_not_sent() {
    if env::var_os(NAMESPACE).is_some() {
        let port = start("[::]:0", greet_link_local).port();
        for zone in ["lo", "1"] {
            let server = format!("[fe80::1%{zone}]:{port}");
            for more in ["", "--from fe80::1"] {
                let arguments = format!("-n 2 --requests 4 {more}");
                let (status, report) = measure("http", &server, &arguments);
                assert_eq!(status, 0, "{server} {more}: {report:#}");
                assert_eq!(count(&report, "/http/count"), 4);
            }
        }
        return;
    }
    // No machine needs to have such an address: this test runs once more, with a network of its own.
    let name = "address::link_local_address_with_a_zone_is_reached_and_the_zone_not_sent";
    let script = "ip link set lo up && ip address add fe80::1/64 dev lo nodad && exec \"$@\"";
    // A process in a chroot, as root of the build root is, gets no user namespace and needs none.
    let is_root = rustix::process::geteuid().is_root();
    let user: &[&str] = if is_root { &[] } else { &["--map-root-user"] };
    let output = Command::new("unshare")
        .args(user)
        .args(["--net", "sh", "-c", script, "sh"])
        .arg(env::current_exe().expect("this program"))
        .args(["--exact", name, "--nocapture"])
        .env(NAMESPACE, "1")
        .output()
        .expect("unshare is installed");
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{complaint}"
    );
}
