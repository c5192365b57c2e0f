// SPDX-License-Identifier: GPL-2.0

//! Executors, which poll items that are due: connections.
//!
//! An executor knows its items only as [`Pollable`], as tokio's schedulers do. It is generic so
//! that a poll costs no indirect call.

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

/// The tasks that poll the connections of a server and call its handler.
///
/// A handler works the same on each. Only [`Kthread`](Self::Kthread) keeps a thread for an idle
/// connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executor {
    /// A kernel thread for each connection. For handlers that sleep often.
    Kthread,
    /// A work item for each connection that is due, on a workqueue of the server. For handlers that
    /// sleep now and then.
    Workqueue,
    /// A loop for each CPU that is not isolated, which polls one connection after the other in a
    /// thread. If the handler [does not sleep](crate::Handler::MAY_SLEEP) or [tries
    /// without](crate::Handler::TRIES_FIRST), the softirq that receives the bytes may poll the
    /// connection instead. For such handlers, and for those that hardly ever sleep: while one does,
    /// other connections of that CPU wait.
    EventLoop,
}

impl Executor {
    /// Returns the name that operators use, as in parameters.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kthread => "kthread",
            Self::Workqueue => "workqueue",
            Self::EventLoop => "event_loop",
        }
    }
}

/// The result of a poll, which tells the executor its next step.
pub(crate) enum PollResult {
    /// The executor does nothing more.
    Idle,
    /// The item is to be scheduled again.
    Again,
    /// The item is to be scheduled again, for a poll that may sleep.
    NeedsProcessContext,
    /// The item has ended.
    Closed,
}

/// Buffers that an executor lends to an item for one poll, so that an idle item has none.
pub(crate) trait Scratch: Default + Send + 'static {
    /// Returns the counts of polls that are not yet added to the counters of the server.
    fn stats(&mut self) -> &mut StatsBatch;
}

/// An item that is polled when it is due.
///
/// A task that needs a poll schedules the item, unless it is already scheduled. The executor then
/// polls it once.
pub(crate) trait Pollable:
    Queued + WorkItem<0, Pointer = Arc<Self>> + HasWork<Self, 0> + 'static
{
    /// The buffers that each poll uses.
    type Scratch: Scratch;

    /// Returns a number that no other item of the server has at the same time. Any context.
    fn number(&self) -> usize;

    /// Returns true if [`poll_bh`](Self::poll_bh) can make progress. Any context.
    fn can_poll_bh(&self) -> bool;

    /// Returns true if a poll is due. Any context.
    fn is_queued(&self) -> bool;

    /// Returns the parker on which the item's thread waits for a poll to be due. Any context.
    fn parker(&self) -> &Parker;

    /// Polls the item. Sleeps where its handler does.
    ///
    /// The executor calls this once for each time that the item was scheduled. If the result asks
    /// for another poll, the executor has to schedule the item.
    fn poll(self: &Arc<Self>, scratch: &mut Self::Scratch) -> PollResult;

    /// Polls the item without sleeping. The caller has to add the counts in `scratch` to the
    /// counters of the server, after one or more polls.
    fn poll_bh(self: &Arc<Self>, bh: BhToken<'_>, scratch: &mut Self::Scratch) -> PollResult;
}

/// The running executor of a server.
pub(crate) enum Scheduler<T: Pollable> {
    /// Each item has a thread, whose handle the server keeps with the item. The threads share
    /// buffers, so that an idle one has none.
    Kthread(Arc<ScratchPool<T>>),
    Workqueue(Queues<T>),
    EventLoop(Loops<T>),
}

impl<T: Pollable> Scheduler<T> {
    /// Starts an executor for the server `name`, with items whose numbers are below `most`. `bh` is
    /// true if the items can be polled without sleeping. May sleep.
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

    /// Schedules an item whose stream has just become ready. With softirqs disabled.
    pub(crate) fn ready(&self, item: ArcBorrow<'_, T>) {
        match self {
            Self::EventLoop(loops) => loops.ready(item.into()),
            _ => self.schedule(item),
        }
    }

    /// Schedules an item that is not scheduled. Any context.
    pub(crate) fn schedule(&self, item: ArcBorrow<'_, T>) {
        match self {
            Self::Kthread(_) => item.parker().unpark(),
            Self::Workqueue(queues) => queues.schedule(item.into()),
            Self::EventLoop(loops) => loops.schedule(item.into()),
        }
    }

    /// Polls an item from its work item.
    pub(crate) fn run_as_work(&self, item: &Arc<T>) {
        if let Self::Workqueue(queues) = self {
            queues.poll(item);
        }
    }

    /// Prepares a new item of `server` for its first scheduling: starts and returns a thread called
    /// `name`, or creates a workqueue. One caller at a time. May sleep.
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

    /// Prepares the executor for the end of all items. May sleep.
    pub(crate) fn begin_stop(&self) {
        if let Self::EventLoop(loops) = self {
            loops.unbind();
        }
    }

    /// Waits until no task of the executor polls any more, and frees the buffers. All items have
    /// ended, and the threads that [`prepare`](Self::prepare) started are joined. Sleeps.
    pub(crate) fn stop(&self) {
        match self {
            Self::Kthread(pool) => pool.clear(),
            Self::Workqueue(queues) => queues.stop(),
            Self::EventLoop(loops) => loops.stop(),
        }
    }
}
