// SPDX-License-Identifier: GPL-2.0

//! Executors, which poll the connections that are due.

mod event_loop;
mod kthread;
mod scratch_pool;
mod workqueue;

use crate::{
    connection::Connection,
    module::kthread::JoinHandle,
    server::config::{
        Config,
        Executor, //
    },
    stats::Counters,
    sync::deadlock::ServerId, //
};
use kernel::{
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    }, //
};

/// The executor of a server.
pub(crate) enum Engine {
    /// Each connection has a thread, which the server keeps beside it. Buffers they share: an idle one
    /// has none.
    Kthread(Arc<scratch_pool::ScratchPool>),
    Workqueue(workqueue::Pool),
    EventLoop(event_loop::Loops),
}

impl Engine {
    /// `atomic` is whether polls that must not sleep are of any use. May sleep.
    pub(crate) fn new(config: &Config, counters: &Arc<Counters>, atomic: bool) -> Result<Self> {
        let name: &CStr = &config.name;
        Ok(match config.executor {
            Executor::Kthread => {
                Self::Kthread(Arc::new(scratch_pool::ScratchPool::new()?, GFP_KERNEL)?)
            }
            Executor::Workqueue => Self::Workqueue(workqueue::Pool::new(
                config.name,
                config.limits.connections,
            )?),
            Executor::EventLoop => {
                Self::EventLoop(event_loop::Loops::start(name, counters, atomic)?)
            }
        })
    }

    /// Has a connection to which something has arrived, and whose state has just become "queued",
    /// polled soon. With softirqs off.
    pub(crate) fn arrived(&self, connection: ArcBorrow<'_, Connection>) {
        match self {
            Self::EventLoop(loops) => loops.arrived(connection.into()),
            _ => self.enqueue(connection),
        }
    }

    /// Has a connection whose state has just become "queued" polled soon. Any context.
    pub(crate) fn enqueue(&self, connection: ArcBorrow<'_, Connection>) {
        match self {
            Self::Kthread(_) => connection.parker.unpark(),
            Self::Workqueue(pool) => pool.enqueue(connection.into()),
            Self::EventLoop(loops) => loops.enqueue(connection.into()),
        }
    }

    /// Polls a connection on behalf of its work item.
    pub(crate) fn run_as_work(&self, connection: &Arc<Connection>) {
        if let Self::Workqueue(pool) = self {
            pool.poll(connection);
        }
    }

    /// Makes what a new connection needs before it begins: a thread, which is returned, or a queue for
    /// its items. By one task at a time. May sleep.
    pub(crate) fn thread_for(
        &self,
        name: &CStr,
        server: ServerId,
        connection: &Arc<Connection>,
    ) -> Result<Option<JoinHandle<()>>> {
        match self {
            Self::Kthread(pool) => {
                kthread::spawn(name, server, connection.clone(), pool.clone()).map(Some)
            }
            Self::Workqueue(pool) => pool.prepare(connection.number()).map(|()| None),
            Self::EventLoop(_) => Ok(None),
        }
    }

    /// Prepares for the end of all connections. May sleep.
    pub(crate) fn begin_stop(&self) {
        if let Self::EventLoop(loops) = self {
            loops.unbind();
        }
    }

    /// Returns when no task runs code of the handler any more, and frees the buffers. All connections
    /// are closed, and the threads that [`thread_for`](Self::thread_for) made are joined. Sleeps.
    pub(crate) fn stop(&self) {
        match self {
            Self::Kthread(pool) => pool.clear(),
            Self::Workqueue(pool) => pool.stop(),
            Self::EventLoop(loops) => loops.stop(),
        }
    }
}
