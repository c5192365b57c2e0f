// SPDX-License-Identifier: GPL-2.0

//! Clients that say their last word and do not read the answer, until they do.

use crate::{commands::Counts, crowd::Crowd, stream::fill};
use anyhow::Result;
use socket2::{Domain, Socket, Type};
use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr},
    thread,
    time::Duration,
};

/// How long sending and reading may take
const PATIENCE: Duration = Duration::from_secs(20);

/// A client whose kernel takes no more than a few kilobytes for it, once it has sent everything.
fn sent(addr: SocketAddr, message: &[u8]) -> io::Result<Socket> {
    let mut socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_recv_buffer_size(4096)?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect_timeout(&addr.into(), PATIENCE)?;
    socket.write_all(message)?;
    socket.shutdown(Shutdown::Write)?;
    Ok(socket)
}

/// How the stream of a client has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// In order, behind everything.
    Complete,
    /// In order, although something was missing.
    Cut,
    /// With a reset, or not at all.
    Broken,
}

fn end_of(mut client: impl Read, expected: usize) -> End {
    let mut buffer = vec![0; 1 << 16];
    let mut count = 0;
    loop {
        match client.read(&mut buffer) {
            Ok(0) if count == expected => return End::Complete,
            Ok(0) => return End::Cut,
            Ok(more) => count += more,
            Err(_) => return End::Broken,
        }
    }
}

pub fn part(crowd: &mut Crowd, clients: usize, bytes: usize, time: Duration) -> Result<Counts> {
    let mut message = vec![0; bytes];
    fill(1, 0, &mut message);
    let addr = crowd.next_addr();
    let clients: Vec<_> = (0..clients).map(|_| sent(addr, &message)).collect();
    let parted = clients.iter().flatten().count();
    crowd.connections += parted as u64;
    println!("parted {parted}");
    thread::sleep(time);
    let end = |client: &io::Result<Socket>| match client {
        Ok(client) => end_of(client, bytes),
        Err(_) => End::Broken,
    };
    let ends: Vec<_> = clients.iter().map(end).collect();
    let count = |wanted| ends.iter().filter(|&&end| end == wanted).count() as u64;
    Ok(vec![
        ("complete", count(End::Complete)),
        ("cut", count(End::Cut)),
        ("broken", count(End::Broken)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_from_a_reset_and_from_a_lie() {
        struct Reset;
        impl Read for Reset {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        assert_eq!(end_of(&b"abc"[..], 3), End::Complete);
        assert_eq!(end_of(&b"ab"[..], 3), End::Cut);
        assert_eq!(end_of((&b"abc"[..]).chain(Reset), 3), End::Broken);
    }
}
