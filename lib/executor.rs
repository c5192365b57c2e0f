// SPDX-License-Identifier: GPL-2.0

//! Executors, which poll the items that are due: connections.
//!
//! An executor knows of what it polls only what [`Pollable`] says, as tokio's schedulers do. It is generic
//! for the sake of speed: a poll costs no indirect call.

mod event_loop;
mod kthread;
mod scratch_pool;
mod workqueue;

use self::{
    event_loop::Loops,
    scratch_pool::ScratchPool,
    workqueue::Queues, //
};
use crate::{
    module::kthread::JoinHandle,
    stats::{
        Counters,
        StatsBatch, //
    },
    sync::{
        deadlock::ServerId,
        parker::Parker,
        run_queue::Queued,
        softirq::BhToken, //
    },
    util::name::Name, //
};
use core::fmt::Arguments;
use kernel::{
    prelude::*,
    sync::{
        Arc,
        ArcBorrow, //
    },
    workqueue::{
        HasWork,
        WorkItem, //
    }, //
};

/// The tasks that run the connections of a server, and call the handler when something has come.
///
/// A handler need not know; it works the same on each. An idle connection costs no thread but with
/// [`Kthread`](Self::Kthread).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    /// A kernel thread for each connection. For handlers that sleep at will.
    Kthread,
    /// A work item for each connection that has something to do, on a workqueue of the server. For
    /// handlers that sleep now and then.
    Workqueue,
    /// A loop for each CPU that is not isolated, which calls the handler for one connection after the
    /// other: in a thread, and where the bytes arrive if the handler
    /// [does not sleep](crate::Handler::MAY_SLEEP) or [tries without](crate::Handler::TRIES_FIRST). For such
    /// handlers, and those that hardly ever sleep: while one does, other connections of that CPU wait.
    EventLoop,
}

impl Executor {
    /// Returns the name by which operators know it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kthread => "kthread",
            Self::Workqueue => "workqueue",
            Self::EventLoop => "event_loop",
        }
    }
}

/// Result of a poll: what the executor has to do next.
pub(crate) enum PollResult {
    /// Nothing.
    Idle,
    /// The item is to be scheduled again.
    Again,
    /// As `Again`, but for a poll that may sleep.
    NeedsProcessContext,
    /// The item has ended.
    Closed,
}

/// Buffers that an executor lends to an item for one poll, so that an idle one has none of its own.
pub(crate) trait Scratch: Default + Send + 'static {
    /// Returns what polls have counted since that was added to the figures of the server.
    fn stats(&mut self) -> &mut StatsBatch;
}

/// An item that is polled when it is due.
///
/// Whatever wants a poll schedules the item, unless it is scheduled already. The executor then polls it
/// once.
pub(crate) trait Pollable:
    Queued + WorkItem<0, Pointer = Arc<Self>> + HasWork<Self, 0> + 'static
{
    /// The buffers that each poll uses.
    type Scratch: Scratch;

    /// Returns its number, which no other item of the server has at the same time. Any context.
    fn number(&self) -> usize;

    /// Returns true if [`poll_bh`](Self::poll_bh) is of any use. Any context.
    fn can_poll_bh(&self) -> bool;

    /// Returns true if a poll is due. Any context.
    fn is_queued(&self) -> bool;

    /// Returns where the thread of the item waits until a poll is due. Any context.
    fn parker(&self) -> &Parker;

    /// Polls the item. Sleeps where its handler does.
    ///
    /// Called by the executor, once for each time that the item was scheduled. If it is to be scheduled
    /// again, it belongs to the executor, which has to do that.
    fn poll(self: &Arc<Self>, scratch: &mut Self::Scratch) -> PollResult;

    /// Polls the item without sleeping. The caller has to add what was counted to the figures of the
    /// server, after one poll or many.
    fn poll_bh(self: &Arc<Self>, bh: BhToken<'_>, scratch: &mut Self::Scratch) -> PollResult;
}

/// The executor of a server, at work.
pub(crate) enum Scheduler<T: Pollable> {
    /// Each item has a thread, which the server keeps beside it. Buffers they share: an idle one has
    /// none.
    Kthread(Arc<ScratchPool<T>>),
    Workqueue(Queues<T>),
    EventLoop(Loops<T>),
}

impl<T: Pollable> Scheduler<T> {
    /// Starts an executor for the server `name`, with items whose numbers are below `most`. `bh` says
    /// that polls which must not sleep are of any use to them. May sleep.
    pub(crate) fn new(
        executor: Executor,
        name: Name,
        most: usize,
        counters: &Arc<Counters>,
        bh: bool,
    ) -> Result<Self> {
        Ok(match executor {
            Executor::Kthread => Self::Kthread(Arc::new(ScratchPool::new()?, GFP_KERNEL)?),
            Executor::Workqueue => Self::Workqueue(Queues::new(name, most)?),
            Executor::EventLoop => Self::EventLoop(Loops::start(&name, counters, bh)?),
        })
    }

    /// Schedules an item whose stream has just become ready. With softirqs off.
    pub(crate) fn ready(&self, item: ArcBorrow<'_, T>) {
        match self {
            Self::EventLoop(loops) => loops.ready(item.into()),
            _ => self.schedule(item),
        }
    }

    /// Schedules an item, which is not scheduled now. Any context.
    pub(crate) fn schedule(&self, item: ArcBorrow<'_, T>) {
        match self {
            Self::Kthread(_) => item.parker().unpark(),
            Self::Workqueue(queues) => queues.schedule(item.into()),
            Self::EventLoop(loops) => loops.schedule(item.into()),
        }
    }

    /// Polls an item on behalf of its work item.
    pub(crate) fn run_as_work(&self, item: &Arc<T>) {
        if let Self::Workqueue(queues) = self {
            queues.poll(item);
        }
    }

    /// Makes what a new item of `server` needs before it is scheduled: a thread called `name`, which is
    /// returned, or a queue for its items. By one caller at a time. May sleep.
    pub(crate) fn prepare(
        &self,
        server: ServerId,
        name: Arguments<'_>,
        item: &Arc<T>,
    ) -> Result<Option<JoinHandle<()>>> {
        match self {
            Self::Kthread(pool) => {
                kthread::spawn(server, name, item.clone(), pool.clone()).map(Some)
            }
            Self::Workqueue(queues) => queues.prepare(item.number()).map(|()| None),
            Self::EventLoop(_) => Ok(None),
        }
    }

    /// Prepares for the end of all items. May sleep.
    pub(crate) fn begin_stop(&self) {
        if let Self::EventLoop(loops) = self {
            loops.unbind();
        }
    }

    /// Returns when no task of the executor polls any more, and frees the buffers. All items have ended,
    /// and the threads that [`prepare`](Self::prepare) made are joined. Sleeps.
    pub(crate) fn stop(&self) {
        match self {
            Self::Kthread(pool) => pool.clear(),
            Self::Workqueue(queues) => queues.stop(),
            Self::EventLoop(loops) => loops.stop(),
        }
    }
}
