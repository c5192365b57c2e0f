// SPDX-License-Identifier: GPL-2.0

//! Accepting connections: the body of a server's accepting thread.

use super::{
    factory::DriverFactory,
    limits::{
        Notices,
        Refusal, //
    },
    listening::Listening,
    shared::Shared,
    table::Entry, //
};
use crate::{
    connection::{
        trace,
        Connection, //
    },
    net::TcpStream,
    stats::Counter,
    util::{
        backoff::Backoff,
        error::ECONNABORTED, //
    }, //
};
use core::net::SocketAddr;
use kernel::{
    prelude::*,
    sync::Arc, //
};

impl Shared {
    /// Accepts connections until the server stops.
    pub(super) fn accept(self: &Arc<Self>, listening: &Listening, drivers: &dyn DriverFactory) {
        let stopping = &self.env.stopping;
        let mut backoff = Backoff::new();
        let mut notices = Notices::new();
        let mut listener = listening.current();

        while !stopping.is_open() {
            let admitted = match listener.accept() {
                Ok((stream, peer)) => self.admit(drivers, stream, peer, &mut notices),
                // That connection is gone; there is nothing wrong with the next.
                Err(ECONNABORTED) => Ok(()),
                Err(_) if stopping.is_open() => return,
                Err(error) => {
                    self.env.counters.add(Counter::AcceptErrors, 1);
                    // It listens no more, and nothing that the server has done is the reason.
                    if error == EINVAL {
                        let (name, counters) = (self.config.name, &self.env.counters);
                        match listening.again(&name, error, &mut backoff, stopping, counters) {
                            Some(again) => listener = again,
                            None => return,
                        }
                        continue;
                    }
                    Err(error)
                }
            };
            match admitted {
                Ok(()) => backoff.reset(),
                Err(_) => {
                    stopping.wait_timeout(backoff.next_pause());
                }
            }
        }
    }

    /// Takes in a newcomer, or closes it. An error says that others would fare no better.
    fn admit(
        self: &Arc<Self>,
        drivers: &dyn DriverFactory,
        stream: TcpStream,
        peer: SocketAddr,
        notices: &mut Notices,
    ) -> Result {
        let Err(refusal) = self.add(drivers, stream, peer) else {
            self.env.counters.add(Counter::Accepted, 1);
            return Ok(());
        };
        let error = refusal.error();
        trace::refuse(&self.config.name, peer, refusal.name(), error);
        self.env.counters.add(refusal.counter(), 1);
        notices.note(&self.config.name, self.limits(), &refusal);
        error.map_or(Ok(()), Err)
    }

    fn add(
        self: &Arc<Self>,
        drivers: &dyn DriverFactory,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Result<(), Refusal> {
        let driver = drivers.make()?;
        let is_timed = self.config.conn.timeouts.are_any();
        let progress = is_timed.then(|| stream.progress()).flatten();
        // Held until the entry is complete, so that a connection that ends at once finds its own.
        let mut table = self.table.lock();
        table
            .reserve(peer.ip(), self.limits())
            .inspect_err(|_| stream.reset_on_drop())?;
        table.add(peer.ip(), |number| {
            let connection = Connection::new(self, number, stream, peer, driver).map_err(
                |error| match error {
                    EBUSY => Refusal::InUse,
                    error => Refusal::Failed(error),
                },
            )?;
            let name: &CStr = &self.config.name;
            let thread = self
                .scheduler
                .prepare(
                    self.id(),
                    fmt!("{name}/{}#{number}", peer.port()),
                    &connection,
                )
                .inspect_err(|_| connection.abandon())?;
            trace::accept(&self.env, connection.endpoint());
            connection.begin();
            Ok(Entry {
                connection,
                thread,
                progress,
            })
        })
    }
}
