// SPDX-License-Identifier: GPL-2.0

//! The load generator, servers that answer as they should, and servers that do not.

use serde_json::Value;
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Command, Output},
    thread,
    time::Duration,
};

pub const LOOPBACK: &str = "127.0.0.1:0";

pub fn bench(protocol: &str, server: &str, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ktcp-bench"))
        .args([protocol, "--connect", server])
        .args(arguments.split_whitespace())
        .output()
        .expect("the program was built")
}

/// The exit status, and the report.
pub fn measure(protocol: &str, server: impl ToString, arguments: &str) -> (i32, Value) {
    let arguments = format!("{arguments} --json -");
    let output = bench(protocol, &server.to_string(), &arguments);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("{error}: {}", String::from_utf8_lossy(&output.stderr));
    });
    (output.status.code().expect("an exit status"), report)
}

pub fn count(report: &Value, pointer: &str) -> u64 {
    let value = report.pointer(pointer);
    value
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("{pointer} in {report:#}"))
}

/// A file of a test, which starts without it.
pub fn scratch(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_file(&path);
    path
}

/// Serves each connection with `serve`, in a thread of its own, for as long as the test runs.
pub fn start(address: &str, serve: impl Fn(TcpStream) + Copy + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind(address).expect("a port of the loopback address");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    address
}

/// Calls `answer` with what comes, until the client closes or something fails.
pub fn converse(mut stream: TcpStream, mut answer: impl FnMut(&mut TcpStream, &[u8]) -> bool) {
    let mut buffer = [0; 65_536];
    while let Ok(count) = stream.read(&mut buffer) {
        if count == 0 || !answer(&mut stream, &buffer[..count]) {
            return;
        }
    }
}

pub fn echo(stream: TcpStream) {
    converse(stream, |stream, bytes| stream.write_all(bytes).is_ok());
}

/// One byte at a time, with pauses.
pub fn echo_in_crumbs(stream: TcpStream) {
    stream.set_nodelay(true).expect("a socket");
    converse(stream, |stream, bytes| {
        bytes.chunks(5).all(|crumb| {
            thread::sleep(Duration::from_millis(1));
            stream.write_all(crumb).is_ok()
        })
    });
}

/// The last bit of each message is wrong.
pub fn lie(stream: TcpStream) {
    converse(stream, |stream, bytes| {
        let mut bytes = bytes.to_vec();
        *bytes.last_mut().expect("not empty") ^= 1;
        stream.write_all(&bytes).is_ok()
    });
}

/// Answers with one byte too many.
pub fn chatter(stream: TcpStream) {
    converse(stream, |stream, bytes| {
        stream.write_all(&[bytes, b"!"].concat()).is_ok()
    });
}

/// Reads and does not answer.
pub fn keep_silent(stream: TcpStream) {
    converse(stream, |_, _| true);
}

/// Closes in an orderly way after the first message.
pub fn hang_up(stream: TcpStream) {
    converse(stream, |_, _| false);
}

/// Closes while there is something to read: the kernel resets the connection.
pub fn reset(mut stream: TcpStream) {
    let _ = stream.read(&mut [0]);
    thread::sleep(Duration::from_millis(20));
}

/// A port of the loopback address at which nothing listens.
pub fn unused_port() -> u16 {
    let listener = TcpListener::bind(LOOPBACK).expect("a port");
    listener.local_addr().expect("it is bound").port()
}
