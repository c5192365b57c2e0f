// SPDX-License-Identifier: GPL-2.0

//! Workqueues of a module.
//!
//! An [`OwnedQueue`] runs closures, and the work items of [`kernel::workqueue`], in worker tasks of
//! the kernel. For occasional work that is cheaper than a [thread](crate::kthread). No item
//! outlives its queue, and no queue its module: before the memory of a module is freed, its
//! remaining queues are drained, even if they were leaked.
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

/// A closure as a work item.
///
/// The one of the `kernel` crate has a class that [lockdep does not
/// recognise](crate::sync::lock_class).
#[pin_data]
struct Closure<F, T> {
    #[pin]
    work: Work<Closure<F, T>>,
    call: Option<Call<F, T>>,
}

/// The closure of an item and the sender for its result.
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
/// Code of other modules may flush a queue that it is lent, but not enqueue items: these must be
/// code of the module that owns the queue, which is drained before that module is freed.
///
/// # Drops that do not wait
///
/// - An item of any queue drops it, a task for which an item waits, or a caller that must not
///   sleep: the queue takes no more items, and is destroyed once its items are done.
/// - The value is leaked: the queue works until the module is unloaded, which drains and destroys
///   it and logs a line. The memory of the value stays leaked.
///
/// An item that does not return blocks every task that waits for it, including `rmmod`.
pub struct OwnedQueue(Arc<ListedQueue>);

impl OwnedQueue {
    /// Upper limit of the closures on a queue that have not returned, so that all of them can run
    /// at once even if each waits for the others. The limit is lower on a machine with several NUMA
    /// nodes, among which the kernel divides the items that run at once.
    pub const MAX_UNFINISHED: u32 = MAX_UNFINISHED;

    /// Creates a queue of `module`, whose items run on any CPU as soon as they are queued. The
    /// kernel shows `name` in its reports about workqueues.
    ///
    /// `module` is the module that contains the code of the items; its `init` gets this reference.
    ///
    /// # Errors
    ///
    /// `ESHUTDOWN` if the module is being unloaded; `EBUSY` if the caller must not sleep; `ENOMEM`.
    ///
    /// May sleep.
    pub fn new(module: &'static ThisModule, name: &CStr) -> Result<Self> {
        context::may_sleep()?;
        ListedQueue::new(module, name).map(Self)
    }

    /// Queues `function`. [`Pending::join`] returns its result; a caller that does not need the
    /// result drops the [`Pending`].
    ///
    /// # Errors
    ///
    /// On failure `function` is dropped without having run.
    ///
    /// - `EINVAL`: `function` is not code of the module that owns the queue; a line is logged.
    /// - `EAGAIN`: [`MAX_UNFINISHED`](Self::MAX_UNFINISHED) closures have not returned yet.
    /// - `ESHUTDOWN`: the queue was dropped, or its module is being unloaded.
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

    /// Queues a work item of the caller, as [`Queue::enqueue`](kernel::workqueue::Queue::enqueue)
    /// does. That needs no memory, and the same item can be queued repeatedly.
    ///
    /// Such items are not counted against [`MAX_UNFINISHED`](Self::MAX_UNFINISHED). As many of them
    /// as that limit can run at once beside the closures of [`spawn`](Self::spawn); further ones
    /// wait until one returns. For items that wait for each other, use `spawn`, which enforces its
    /// limit, or [threads](crate::kthread).
    ///
    /// # Errors
    ///
    /// The item itself, if the queue was dropped, its module is being unloaded, or the item is not
    /// code of the module that owns the queue; the latter logs a line. A generic item that another
    /// module has created is neither run nor returned, but leaked.
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

    /// Waits until all items that are queued now have run.
    ///
    /// # Errors
    ///
    /// - `EDEADLK`: the caller is an item of any queue, which might wait for itself, or a task for
    ///   which an item of this queue waits.
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

/// The pending result of a closure on a queue. Dropping it does not cancel the closure.
pub struct Pending<T>(oneshot::Receiver<T>);

impl<T> Pending<T> {
    /// Waits until the closure has returned, and returns its result.
    ///
    /// # Errors
    ///
    /// - `EDEADLK`: the caller is the closure itself, or a task for which the closure waits,
    ///   directly or through others.
    /// - `EBUSY`: the caller must not sleep.
    ///
    /// Sleeps.
    pub fn join(mut self) -> Result<T> {
        context::may_sleep()?;
        // Every item runs before its queue is destroyed, so the closure has sent a result.
        self.0.take(kthread::current_waiter())?.ok_or(ESRCH)
    }

    /// Returns true if the closure has returned. Any context.
    pub fn is_finished(&self) -> bool {
        self.0.is_sent()
    }
}
