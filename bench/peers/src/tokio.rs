// SPDX-License-Identifier: GPL-2.0

//! A server as one writes it with the crate tokio: a task for each connection. Each thread has a
//! runtime of its own, whose tasks stay on it: what they share in a runtime of several threads costs
//! an echo 0.6 % more instructions.
//!
//! A task reads into a buffer of its thread, for nothing that is received has to be kept while it
//! waits: a connection that is silent has no buffer, and the buffer is large, and in the caches.

use anyhow::Result;
use std::{
    cell::RefCell,
    future::poll_fn,
    io::ErrorKind,
    net::TcpListener as StdListener,
    pin::Pin,
    task::{ready, Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
    runtime,
};

const BUFFER: usize = 256 << 10;

thread_local! {
    static BUFFERS: RefCell<Vec<u8>> = RefCell::new(vec![0; BUFFER]);
}

/// Serves for ever.
pub fn serve(listener: StdListener) -> Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async { accept(TcpListener::from_std(listener)?).await })
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

/// What a turn of a connection came to.
enum Turn {
    Answered,
    /// The client will not send any more.
    Ended,
    /// What the socket did not take of an answer.
    Left(Vec<u8>),
}

async fn echo(mut stream: TcpStream) -> std::io::Result<()> {
    loop {
        let next =
            poll_fn(|context| BUFFERS.with_borrow_mut(|buffer| turn(&mut stream, context, buffer)));
        match next.await? {
            Turn::Answered => {}
            Turn::Ended => return Ok(()),
            Turn::Left(rest) => stream.write_all(&rest).await?,
        }
    }
}

/// Returns what is there, as long as the socket takes it.
fn turn(
    stream: &mut TcpStream,
    context: &mut Context<'_>,
    buffer: &mut [u8],
) -> Poll<std::io::Result<Turn>> {
    let mut buffer = ReadBuf::new(buffer);
    // Unlike `try_read`, it knows that a short read has emptied the socket.
    ready!(Pin::new(&mut *stream).poll_read(context, &mut buffer))?;
    let bytes = buffer.filled();
    if bytes.is_empty() {
        return Poll::Ready(Ok(Turn::Ended));
    }
    let written = match stream.try_write(bytes) {
        Ok(written) => written,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => return Poll::Ready(Err(error)),
    };
    Poll::Ready(Ok(match &bytes[written..] {
        [] => Turn::Answered,
        rest => Turn::Left(rest.to_vec()),
    }))
}
