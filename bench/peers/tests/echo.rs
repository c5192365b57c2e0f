// SPDX-License-Identifier: GPL-2.0

//! Each peer returns every byte, for otherwise it would be no measure.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

struct Peer {
    process: Child,
    address: SocketAddr,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Starts a peer; none if this kernel has not what it needs.
fn start(way: &str, threads: u8) -> Option<Peer> {
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = free.local_addr().expect("it is bound");
    drop(free);
    let mut process = Command::new(env!("CARGO_BIN_EXE_ktcp-peer"))
        .args([way, "--listen", &address.to_string()])
        .args(["--threads", &threads.to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let listens = TcpStream::connect(address).is_ok();
        // It listens before it knows whether the kernel has what it needs.
        thread::sleep(Duration::from_millis(if listens { 500 } else { 20 }));
        if process.try_wait().expect("our child").is_some() {
            let mut text = String::new();
            let mut stderr = process.stderr.take().expect("it is piped");
            stderr.read_to_string(&mut text).expect("text");
            assert!(text.contains("io_uring"), "{way}: {text}");
            eprintln!("left out: {text}");
            return None;
        }
        if listens {
            break;
        }
        assert!(Instant::now() < deadline, "{way} does not listen");
    }
    Some(Peer { process, address })
}

fn bytes(count: usize, seed: usize) -> Vec<u8> {
    (0..count).map(|i| ((i + seed) * 31 / 7) as u8).collect()
}

/// Sends while it reads, and ends what it sends: all must come back, and then the end.
fn talk(address: SocketAddr, count: usize, seed: usize) {
    let stream = TcpStream::connect(address).expect("it listens");
    let limit = Some(Duration::from_secs(30));
    stream.set_read_timeout(limit).expect("a socket");
    let sent = bytes(count, seed);
    let mut received = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(&sent).expect("it reads");
            stream.shutdown(Shutdown::Write).expect("a connection");
        });
        (&stream)
            .read_to_end(&mut received)
            .expect("it answers and closes");
    });
    assert!(received == sent, "{} of {count} bytes came", received.len());
}

fn talk_in_many_ways(way: &str) {
    for threads in [1, 2] {
        let Some(peer) = start(way, threads) else {
            return;
        };
        for count in [0, 1, 13, 65_536, 3_000_000] {
            talk(peer.address, count, count);
        }
        thread::scope(|scope| {
            for seed in 0..20 {
                let address = peer.address;
                scope.spawn(move || talk(address, 100_000, seed));
            }
        });
        // Clients that go without a word do not disturb the others.
        for seed in 0..20 {
            let mut stream = TcpStream::connect(peer.address).expect("it listens");
            stream.write_all(&bytes(200_000, seed)).expect("it reads");
        }
        talk(peer.address, 1_000_000, 5);
    }
}

#[test]
fn epoll() {
    talk_in_many_ways("epoll");
}

#[test]
fn io_uring() {
    talk_in_many_ways("uring");
}

#[test]
fn tokio() {
    talk_in_many_ways("tokio");
}
