// SPDX-License-Identifier: GPL-2.0

//! The listening sockets of all servers.

use anyhow::{Context, Result};
use socket2::{Domain, Protocol, Socket, Type};
use std::net::{SocketAddr, TcpListener};

/// As long as the queue may be; the kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 65_535;

/// A listening socket that does not block; with several `threads`, one of many for that address.
pub fn open(addr: SocketAddr, threads: usize) -> Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(threads > 1)?;
    socket.set_nonblocking(true)?;
    // Connections inherit it.
    socket.set_tcp_nodelay(true)?;
    socket
        .bind(&addr.into())
        .with_context(|| format!("cannot listen on {addr}"))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
