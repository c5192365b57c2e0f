// SPDX-License-Identifier: GPL-2.0

//! Workqueues of one's own.
//!
//! An [`OwnedQueue`] runs closures, and the work items of [`kernel::workqueue`], in tasks that the
//! kernel keeps for this: for what is done now and then, that is cheaper than a
//! [thread](crate::kthread). No item outlives its queue, and no queue its module: before the memory
//! of a module is freed, the queues that it has left are drained, even if they were leaked.
//!
//! # Examples
//!
//! ```
//! use kernel::prelude::*;
//! use ktcp_server::workqueue::OwnedQueue;
//!
//! struct Sums {
//!     _queue: OwnedQueue,
//! }
//!
//! impl kernel::Module for Sums {
//!     fn init(module: &'static ThisModule) -> Result<Self> {
//!         let queue = OwnedQueue::new(module, c"sums")?;
//!         // The two may run at the same time.
//!         let small = queue.spawn(|| (1..=10).sum::<u64>())?;
//!         let large = queue.spawn(|| (1..=1000).sum::<u64>())?;
//!         pr_info!("{} and {}\n", small.join()?, large.join()?);
//!
//!         // Only the queue waits for this one, when it is dropped.
//!         queue.spawn(|| pr_info!("done\n"))?;
//!         Ok(Self { _queue: queue })
//!     }
//! }
//! ```
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

mod listed;

use self::listed::{
    ListedQueue,
    Unfinished,
    MAX_UNFINISHED, //
};
use super::{
    cleanup,
    kthread,
    registry::ModuleResource, //
};
use crate::{
    sync::{
        context,
        lock_class::new_work,
        oneshot, //
    },
    util::error::{
        EDEADLK,
        ESHUTDOWN, //
    }, //
};
use kernel::{
    impl_has_work,
    prelude::*,
    sync::Arc,
    workqueue::{
        Work,
        WorkItem,
        WorkItemPointer, //
    }, //
};

/// A closure as a work item. That of the `kernel` crate has a class which
/// [lockdep does not recognise](crate::sync::lock_class).
#[pin_data]
struct Closure<F, T> {
    #[pin]
    work: Work<Closure<F, T>>,
    call: Option<Call<F, T>>,
}

/// The closure of an item, and where its result goes.
struct Call<F, T> {
    function: F,
    sender: oneshot::Sender<T>,
    place: Unfinished,
}

impl_has_work! {
    impl{F, T} HasWork<Self> for Closure<F, T> { self.work }
}

impl<F, T> WorkItem for Closure<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    type Pointer = Pin<KBox<Self>>;

    fn run(mut this: Pin<KBox<Self>>) {
        if let Some(call) = this.as_mut().project().call.take() {
            let Call {
                function,
                sender,
                place,
            } = call;
            place.run(|| sender.send_with(function));
        }
    }
}

/// A workqueue of a module. Dropping it waits until every item on it has run, and destroys it.
///
/// It may be lent to code of other modules, which can flush it, but not queue anything: items are to be
/// code of the module whose queue it is, for with that module the queue ends.
///
/// # When it is dropped elsewhere, or not at all
///
/// - By an item, be it of this queue or of another one, by a task that an item waits for, or where one
///   must not sleep: that does not wait. The queue takes no more items, and is destroyed as soon as
///   those that it has are done.
/// - Never, because the value was leaked: the queue works until the module is unloaded, which drains
///   and destroys it, with a line in the log. The memory of the value stays leaked.
///
/// An item that does not return holds up whatever waits for it, `rmmod` included.
pub struct OwnedQueue(Arc<ListedQueue>);

impl OwnedQueue {
    /// The most closures that are on a queue and have not returned, so that all of them run at once
    /// if each waits for the others. Fewer on a machine with several memory nodes, among which the
    /// kernel shares out how many items run.
    pub const MAX_UNFINISHED: u32 = MAX_UNFINISHED;

    /// A queue of `module`, whose items run on any CPU, each as soon as it is queued. The kernel shows
    /// `name` in its reports about workqueues.
    ///
    /// `module` is the one whose code the items are, which its `init` is given.
    ///
    /// # Errors
    ///
    /// `ESHUTDOWN` when the module is about to go; `EBUSY` where one must not sleep; `ENOMEM`.
    ///
    /// May sleep.
    pub fn new(module: &'static ThisModule, name: &CStr) -> Result<Self> {
        context::may_sleep()?;
        ListedQueue::new(module, name).map(Self)
    }

    /// Has `function` run soon. What it returns can be [joined](Pending::join) out; a caller that is not
    /// interested in it drops what this returns.
    ///
    /// # Errors
    ///
    /// `function` is dropped then, and has not run.
    ///
    /// - `EINVAL`: `function` is not code of the module whose queue this is; a line in the log says so.
    /// - `EAGAIN`: [`MAX_UNFINISHED`](Self::MAX_UNFINISHED) closures have not returned yet.
    /// - `ESHUTDOWN`: the queue was dropped, or its module is about to go.
    /// - `EBUSY`: the caller must not sleep.
    /// - `ENOMEM`.
    ///
    /// May sleep.
    pub fn spawn<F, T>(&self, function: F) -> Result<Pending<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        context::may_sleep()?;
        self.0
            .check_owner(<Closure<F, T> as WorkItem>::run as *const ())?;
        let place = Unfinished::new(&self.0)?;
        let (sender, receiver) = oneshot::channel()?;
        let closure = KBox::pin_init(
            pin_init!(Closure {
                work <- new_work!("ktcp_server::Closure"),
                call: Some(Call { function, sender, place }),
            }),
            GFP_KERNEL,
        )?;
        match self.0.enqueue(closure) {
            Ok(()) => Ok(Pending(receiver)),
            Err(_refused) => Err(ESHUTDOWN),
        }
    }

    /// Queues a work item of one's own, as [`Queue::enqueue`](kernel::workqueue::Queue::enqueue) does. It can be queued without memory,
    /// and again and again.
    ///
    /// Such items are not counted: beside the closures of [`spawn`](Self::spawn) at least as many run at
    /// once as there may be of those, and further ones wait until one returns. Items that wait for
    /// each other want `spawn`, which knows its bound, or [threads](crate::kthread).
    ///
    /// # Errors
    ///
    /// The item itself when the queue was dropped or its module is about to go; and when the item is not
    /// code of the module whose queue this is, with a line in the log. A generic item that another
    /// module has made is not run and not returned, either, but leaked.
    ///
    /// Any context.
    ///
    /// # Examples
    ///
    /// ```
    /// use kernel::{
    ///     impl_has_work, new_work,
    ///     prelude::*,
    ///     sync::Arc,
    ///     workqueue::{Work, WorkItem},
    /// };
    /// use ktcp_server::workqueue::OwnedQueue;
    ///
    /// #[pin_data]
    /// struct Report {
    ///     #[pin]
    ///     work: Work<Report>,
    /// }
    ///
    /// impl_has_work! {
    ///     impl HasWork<Self> for Report { self.work }
    /// }
    ///
    /// impl WorkItem for Report {
    ///     type Pointer = Arc<Report>;
    ///
    ///     fn run(_this: Arc<Report>) {
    ///         pr_info!("all is well\n");
    ///     }
    /// }
    ///
    /// # let queue = OwnedQueue::new(&crate::THIS_MODULE, c"reports")?;
    /// let report = Arc::pin_init(pin_init!(Report { work <- new_work!("Report::work") }), GFP_KERNEL)?;
    /// match queue.enqueue(report) {
    ///     Ok(Ok(())) => {}
    ///     Ok(Err(_)) => pr_info!("it is on its way already\n"),
    ///     Err(_) => pr_info!("too late\n"),
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn enqueue<W, const ID: u64>(&self, item: W) -> Result<W::EnqueueOutput, W>
    where
        W: WorkItemPointer<ID> + Send + 'static,
    {
        if self.0.check_owner(W::run as *const ()).is_err() {
            return Err(item);
        }
        self.0.enqueue(item)
    }

    /// Returns when all items that are queued now have run.
    ///
    /// # Errors
    ///
    /// - `EDEADLK`: within an item, be it of this queue or of another one, for it might wait for itself;
    ///   and in a task for which an item of the queue waits.
    /// - `EBUSY`: the caller must not sleep.
    ///
    /// Sleeps.
    pub fn flush(&self) -> Result {
        context::may_sleep()?;
        if context::in_worker() {
            return Err(EDEADLK);
        }
        self.0.wait(|| self.0.flush())
    }
}

impl Drop for OwnedQueue {
    fn drop(&mut self) {
        let waits = !context::must_not_sleep() && !context::in_worker();
        if !waits || self.0.wait(|| self.0.destroy()).is_err() {
            self.0.request_stop();
            cleanup::defer(self.0.clone());
        }
    }
}

/// The result of a closure on a queue. Dropping it does not keep the closure from running.
pub struct Pending<T>(oneshot::Receiver<T>);

impl<T> Pending<T> {
    /// Waits until the closure has returned, and returns its result.
    ///
    /// # Errors
    ///
    /// - `EDEADLK`: within the closure itself, and in a task for which the closure waits, be it by way
    ///   of others.
    /// - `EBUSY`: the caller must not sleep.
    ///
    /// Sleeps.
    pub fn join(mut self) -> Result<T> {
        context::may_sleep()?;
        // Whatever is on a queue is run before the queue goes, so there is something to take.
        self.0.take(kthread::current_waiter())?.ok_or(ESRCH)
    }

    /// Returns true if the closure has returned. Any context.
    pub fn is_finished(&self) -> bool {
        self.0.is_sent()
    }
}
