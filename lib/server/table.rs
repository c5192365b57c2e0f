// SPDX-License-Identifier: GPL-2.0

//! The table of a server's connections.

use super::limits::{
    Limits,
    Refusal,
    Shares, //
};
use crate::{
    connection::{
        Connection,
        Server, //
    },
    module::kthread::JoinHandle,
    net::Progress,
    stats::Statistics,
    util::slab::Slab, //
};
use core::net::IpAddr;
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A connection as its server knows it.
pub(super) struct Entry<S: Server> {
    pub(super) connection: Arc<Connection<S>>,
    /// If the executor gives each connection one.
    pub(super) thread: Option<JoinHandle<()>>,
    /// If the server has timeouts.
    pub(super) progress: Option<Progress>,
}

/// The connections of a server.
pub(super) struct Table<S: Server> {
    entries: Slab<Entry<S>>,
    shares: Shares,
    /// The thread that left the table last. Each that leaves joins the one before it: a thread
    /// cannot join itself, and no other task would do it soon.
    finished: Option<JoinHandle<()>>,
    most_open: usize,
    is_draining: bool,
}

/// A connection that has left the table, and the thread that is to be joined. Dropping it sleeps.
pub(super) struct Left<S: Server> {
    _thread: Option<JoinHandle<()>>,
    _connection: Arc<Connection<S>>,
    /// True if it was the last one of a table that is drained.
    pub(super) is_last: bool,
}

impl<S: Server> Table<S> {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            entries: Slab::new(),
            shares: Shares::new(limits),
            finished: None,
            most_open: 0,
            is_draining: false,
        }
    }

    /// Reserves a place for a connection of `peer`, which [`add`](Self::add) takes or gives back. May
    /// sleep.
    pub(super) fn reserve(&mut self, peer: IpAddr, limits: &Limits) -> Result<(), Refusal> {
        self.shares.take(peer, self.entries.len(), limits)
    }

    /// Adds what `make` returns for its number, in the place that is reserved for `peer`. May sleep.
    pub(super) fn add(
        &mut self,
        peer: IpAddr,
        make: impl FnOnce(usize) -> Result<Entry<S>, Refusal>,
    ) -> Result<(), Refusal> {
        let added = self.entries.add(make);
        match added {
            Ok(()) => self.most_open = self.most_open.max(self.entries.len()),
            Err(_) => self.shares.give_back(peer),
        }
        added
    }

    /// Takes a connection out, if it is there.
    pub(super) fn remove(&mut self, number: usize) -> Option<Left<S>> {
        let Entry {
            connection, thread, ..
        } = self.entries.remove(number)?;
        self.shares.give_back(connection.endpoint().peer.ip());
        Some(Left {
            _thread: thread.and_then(|thread| self.finished.replace(thread)),
            _connection: connection,
            is_last: self.is_draining && self.entries.is_empty(),
        })
    }

    /// Nothing is added any more. Returns true if the table is empty.
    pub(super) fn begin_drain(&mut self) -> bool {
        self.is_draining = true;
        self.entries.is_empty()
    }

    /// Takes the memory and the last thread out, when there is no connection any more. Dropping what
    /// this returns sleeps.
    pub(super) fn clear(&mut self) -> impl Sized {
        let entries = core::mem::replace(&mut self.entries, Slab::new());
        (self.finished.take(), entries)
    }

    /// The connections.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Connection<S>>> {
        self.entries.iter().map(|entry| &entry.connection)
    }

    /// Ends each connection one of whose timeouts has passed. May sleep.
    pub(super) fn check_timers(&self) {
        for entry in self.entries.iter() {
            entry.connection.check_timers(entry.progress.as_ref());
        }
    }

    /// Counts the connections.
    pub(super) fn statistics(&self) -> Statistics {
        let is_closing = |connection: &&Arc<Connection<S>>| connection.endpoint().is_closing();
        Statistics {
            open: self.entries.len() as u64,
            most_open: self.most_open as u64,
            closing: self.iter().filter(is_closing).count() as u64,
            ..Statistics::default()
        }
    }
}
