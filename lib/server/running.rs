// SPDX-License-Identifier: GPL-2.0

//! A server that runs: its threads, and how it is stopped.

use super::{
    config::Config,
    debugfs,
    factory::ErasedHandler,
    listening::Listening,
    shared::Shared, //
};
use crate::{
    handler::CloseReason,
    module::{
        debugfs::{
            Dir,
            Files, //
        },
        kthread::{
            self,
            JoinHandle, //
        }, //
    },
    util::backoff::Backoff, //
};
use kernel::{
    prelude::*,
    str::CString,
    sync::Arc,
    time::{
        Delta,
        Instant,
        Monotonic, //
    }, //
};

impl Shared {
    /// Advances the clock until the server stops: the body of the timer thread.
    fn keep_time(&self) {
        while !self.env.stopping.wait_timeout(self.env.clock.tick()) {
            self.env.clock.advance();
            self.table.lock().check_timers();
        }
    }

    fn drain(&self, within: Delta) {
        if self.table.lock().begin_drain() {
            self.drained.open();
        }

        if self.drained.wait_timeout(within) {
            return;
        }
        for connection in self.table.lock().iter() {
            connection.request_close(CloseReason::Stopped);
        }
        self.interrupt_handlers();
    }

    /// Returns when no connection is left, of which each was told to end. Handlers that are still at work
    /// are interrupted: a peer of theirs, or whatever else they wait for, is not to decide how long this
    /// takes. Sleeps.
    fn interrupt_handlers(&self) {
        let mut backoff = Backoff::new();
        let mut complained = Instant::<Monotonic>::now();
        loop {
            // Again and again: what was interrupted is one poll, and the next one may wait anew.
            for connection in self.table.lock().iter() {
                connection.interrupt();
            }
            if self.drained.wait_timeout(backoff.next_pause()) {
                return;
            }
            if complained.elapsed() >= Delta::from_secs(10) {
                complained = Instant::now();
                let name: &CStr = &self.config.name;
                pr_warn!("{name}: waiting for a handler that does not return\n");
            }
        }
    }
}

/// A server that runs. Dropping it stops it.
pub(super) struct RunningServer {
    shared: Arc<Shared>,
    /// Not among what is shared: a [`Sender`](crate::Sender) may keep that for longer.
    listening: Arc<Listening>,
    files: Option<Files>,
    acceptor: Option<JoinHandle<()>>,
    timekeeper: Option<JoinHandle<()>>,
}

impl RunningServer {
    /// Starts a server whose files are in the folder `label` below `root`. May sleep.
    ///
    /// Not generic, and not inlined: what the threads of the server run is to be code of the library.
    #[inline(never)]
    pub(super) fn start(
        (root, label): (&Arc<Dir>, &CStr),
        config: Config,
        listening: Arc<Listening>,
        handler: ErasedHandler,
    ) -> Result<Self> {
        let name = config.name;
        let name: &CStr = &name;
        let has_timeouts = config.conn.timeouts.are_any();
        let shared = Shared::new(config, listening.config().clone(), handler.can_poll_bh)?;
        let id = shared.id();
        // From here on, dropping stops what has been started.
        let mut server = Self {
            shared: shared.clone(),
            listening: listening.clone(),
            files: None,
            acceptor: None,
            timekeeper: None,
        };
        if has_timeouts {
            let shared = shared.clone();
            let name = CString::try_from_fmt(fmt!("{name}/timer"))?;
            server.timekeeper = Some(kthread::spawn_own(id, &name, move || shared.keep_time())?);
        }
        let name = CString::try_from_fmt(fmt!("{name}/accept"))?;
        let drivers = handler.drivers;
        server.files = Some(debugfs::publish(root, label, &shared)?);
        server.acceptor = Some(kthread::spawn_own(id, &name, move || {
            shared.accept(&listening, &*drivers);
        })?);
        Ok(server)
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Stops listening and receiving, without waiting for any task. May sleep.
    pub(super) fn begin_stop(&self) {
        self.shared.note_stop();
        self.shared.scheduler.begin_stop();
        for connection in self.shared.table.lock().iter() {
            // It finds that the server stops.
            connection.as_arc_borrow().schedule();
        }
        self.listening.close();
    }

    /// Stops: sends what is to be sent, for `within` at most or as long as the configuration says,
    /// then resets what is left. When this returns, no task runs code of the handler any more, nor
    /// will. Sleeps; must not be called by a task that runs the handler.
    pub(super) fn stop(&mut self, within: Option<Delta>) {
        self.begin_stop();
        let within = within.unwrap_or(self.shared.config.drain);
        let left = || within - self.shared.draining_for();
        if let Some(acceptor) = self.acceptor.take() {
            // It has the one reference to the handler beside those of the connections, and so may drop it,
            // which takes as long as the handler likes.
            acceptor.join_by(left());
        }
        if let Some(timekeeper) = self.timekeeper.take() {
            timekeeper.join_by(left());
        }
        self.shared.drain(left());
        // A `Sender` may keep what is shared for longer: it is to hold no more than it must.
        let left = self.shared.table.lock().clear();
        drop(left);
        self.shared.scheduler.stop();
        self.files = None;
    }
}

impl Drop for RunningServer {
    fn drop(&mut self) {
        self.stop(None);
    }
}
