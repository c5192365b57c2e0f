// SPDX-License-Identifier: GPL-2.0

//! A kernel thread for each connection, and one that accepts.

use super::Running;
use crate::{
    backoff::Backoff,
    config::Config,
    connection::Conversation,
    handler::Handler,
    kthread::{
        self,
        JoinHandle, //
    },
    latch::Latch,
    net::{
        Shutdown,
        TcpListener,
        TcpStream, //
    },
    slots::Slots, //
};
use core::net::SocketAddr;
use kernel::{
    new_mutex,
    prelude::*,
    str::CString,
    sync::{
        Arc,
        Mutex, //
    },
    time::Delta, //
};

/// A connection as the server knows it.
struct Entry {
    stream: Arc<TcpStream>,
    thread: JoinHandle<()>,
}

struct Table {
    entries: Slots<Entry>,
    /// The thread that left the table last. Each that leaves joins the one before it: a thread
    /// cannot join itself, and there is nobody else who would do it soon.
    finished: Option<JoinHandle<()>>,
    /// Nothing is added any more, and whoever leaves the table empty opens `drained`.
    draining: bool,
    /// The time for sending is over: connections are reset.
    aborting: bool,
}

/// What all threads of a server share.
#[pin_data]
struct Shared<H: Handler> {
    handler: H,
    config: Config,
    listener: TcpListener,
    /// Opened when the server begins to stop.
    #[pin]
    stopping: Latch,
    /// Opened when the last thread has left the table of a server that stops.
    #[pin]
    drained: Latch,
    #[pin]
    table: Mutex<Table>,
}

/// A server with a thread for each connection.
pub(crate) struct Threads<H: Handler> {
    shared: Arc<Shared<H>>,
    /// Gone once the server is stopped.
    acceptor: Option<JoinHandle<()>>,
}

impl<H: Handler> Threads<H> {
    pub(crate) fn start(config: Config, listener: TcpListener, handler: H) -> Result<Self> {
        let name = config.name;
        let shared = Arc::pin_init(
            pin_init!(Shared {
                handler,
                config,
                listener,
                stopping <- Latch::new(),
                drained <- Latch::new(),
                table <- new_mutex!(Table {
                    entries: Slots::new(),
                    finished: None,
                    draining: false,
                    aborting: false,
                }),
            }),
            GFP_KERNEL,
        )?;
        let thread_name = CString::try_from_fmt(fmt!("{name}/accept"))?;
        let acceptor = kthread::spawn(&thread_name, {
            let shared = shared.clone();
            move || accept(&shared)
        })?;
        Ok(Self {
            shared,
            acceptor: Some(acceptor),
        })
    }
}

/// What the accepting thread does.
fn accept<H: Handler>(shared: &Arc<Shared<H>>) {
    let mut backoff = Backoff::new();

    while !shared.stopping.is_open() {
        let admitted = match shared.listener.accept() {
            Ok((stream, peer)) => admit(shared, stream, peer),
            // That connection is gone; there is nothing wrong with the next.
            Err(ECONNABORTED) => Ok(()),
            Err(error) => Err(error),
        };
        match admitted {
            Ok(()) => backoff.reset(),
            Err(_) => backoff.pause(&shared.stopping),
        }
    }
}

/// Gives the connection a thread; on failure it is reset.
fn admit<H: Handler>(shared: &Arc<Shared<H>>, stream: TcpStream, peer: SocketAddr) -> Result {
    let stream = Arc::new(stream, GFP_KERNEL)?;
    let name = CString::try_from_fmt(fmt!("{}/{}", shared.config.name, peer.port()))?;

    // Held until the entry is complete, so that a thread that ends at once finds its own.
    let mut table = shared.table.lock();
    table.entries.add(|number| {
        let thread = kthread::spawn(&name, {
            let shared = shared.clone();
            let stream = stream.clone();
            move || serve(&shared, number, stream, peer)
        })?;
        Ok(Entry { stream, thread })
    })
}

/// What the thread of a connection does.
fn serve<H: Handler>(shared: &Shared<H>, number: usize, stream: Arc<TcpStream>, peer: SocketAddr) {
    let reset = match Conversation::new(&shared.handler, &shared.config, &stream, &shared.stopping)
    {
        Ok(conversation) => conversation.hold(peer),
        Err(_) => true,
    };
    leave(shared, number, stream, reset);
}

/// Closes the connection and takes it out of the table.
fn leave<H: Handler>(shared: &Shared<H>, number: usize, stream: Arc<TcpStream>, reset: bool) {
    let mut table = shared.table.lock();
    let previous = table.entries.remove(number).and_then(|entry| {
        drop(entry.stream);
        table.finished.replace(entry.thread)
    });
    let reset = reset || table.aborting;
    let drained = table.draining && table.entries.is_empty();
    drop(table);

    // The table's reference is gone, so this was the last.
    if let Some(stream) = Arc::into_unique_or_drop(stream) {
        if reset {
            stream.reset_on_drop();
        }
    }
    drop(previous);
    if drained {
        shared.drained.open();
    }
}

impl<H: Handler> Running for Threads<H> {
    fn runs_current(&self) -> bool {
        let table = self.shared.table.lock();
        let running = table.entries.iter().any(|entry| entry.thread.is_current());
        running || table.finished.as_ref().is_some_and(JoinHandle::is_current)
    }

    fn begin_stop(&self) {
        self.shared.stopping.open();
        self.shared.listener.shutdown();
    }

    fn stop(&mut self, within: Option<Delta>) {
        let Some(acceptor) = self.acceptor.take() else {
            return;
        };
        self.begin_stop();
        acceptor.join();

        let shared = &*self.shared;
        let mut table = shared.table.lock();
        table.draining = true;
        if table.entries.is_empty() {
            shared.drained.open();
        }
        for entry in table.entries.iter() {
            // Wakes the thread if it waits for its peer. An error means that the connection is
            // broken already.
            let _ = entry.stream.shutdown(Shutdown::Read);
        }
        drop(table);

        if !shared
            .drained
            .wait_timeout(within.unwrap_or(shared.config.drain))
        {
            let mut table = shared.table.lock();
            table.aborting = true;
            for entry in table.entries.iter() {
                let _ = entry.stream.shutdown(Shutdown::Both);
            }
        }
        while !shared.drained.wait_timeout(Delta::from_secs(10)) {
            pr_warn!(
                "{}: waiting for a handler that does not return\n",
                shared.config.name
            );
        }

        let last = shared.table.lock().finished.take();
        drop(last);
    }
}

impl<H: Handler> Drop for Threads<H> {
    fn drop(&mut self) {
        self.stop(None);
    }
}
