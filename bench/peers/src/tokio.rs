// SPDX-License-Identifier: GPL-2.0

//! A server as one writes it with the crate tokio: a task for each connection.

use anyhow::Result;
use std::net::TcpListener as StdListener;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime,
};

const BUFFER: usize = 16 << 10;

/// Serves for ever.
pub fn serve(listener: StdListener, threads: usize) -> Result<()> {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_name("ktcp-peer")
        .enable_io()
        .build()?;
    runtime.block_on(async {
        // On a worker's thread, for that of the runtime's owner is none.
        tokio::spawn(accept(TcpListener::from_std(listener)?)).await?
    })
}

async fn accept(listener: TcpListener) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // An error is the client's.
            let _ = echo(stream).await;
        });
    }
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&buffer[..count]).await?;
    }
}
