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
//!         // Nobody waits for this one, but the queue when it is dropped.
//!         queue.spawn(|| pr_info!("done\n"))?;
//!         Ok(Self { _queue: queue })
//!     }
//! }
//! ```
//!
//! C header: [`include/linux/workqueue.h`](srctree/include/linux/workqueue.h)

use crate::{
    error::{
        EDEADLK,
        ESHUTDOWN, //
    },
    lock_class::{
        new_mutex,
        new_work, //
    },
    outcome::{
        self,
        Expected, //
    },
    registry::{
        self,
        Kind,
        Resident, //
    },
    shim, //
};
use core::{
    ops::Deref,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    impl_has_work,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        Arc,
        Mutex,
        SetOnce, //
    },
    workqueue::{
        Queue,
        RawWorkItem,
        Work,
        WorkItem, //
    }, //
};

/// A closure as a work item. That of the `kernel` crate has a class which
/// [lockdep does not recognise](crate::lock_class).
#[pin_data]
struct Closure<F> {
    #[pin]
    work: Work<Closure<F>>,
    function: Option<F>,
}

impl_has_work! {
    impl{F} HasWork<Self> for Closure<F> { self.work }
}

impl<F: FnOnce() + Send + 'static> WorkItem for Closure<F> {
    type Pointer = Pin<KBox<Self>>;

    fn run(mut this: Pin<KBox<Self>>) {
        if let Some(function) = this.as_mut().project().function.take() {
            function();
        }
    }
}

/// A workqueue of the library, which sees to it that it is dropped in time. That sleeps until every
/// item on it has run.
///
/// # Invariants
///
/// `0` points to a workqueue that this value alone owns.
pub(crate) struct RawQueue(NonNull<bindings::workqueue_struct>);

// SAFETY: Workqueues may be used and destroyed by any task.
unsafe impl Send for RawQueue {}

// SAFETY: All that `&RawQueue` offers is a `&Queue`, which is `Sync`.
unsafe impl Sync for RawQueue {}

impl RawQueue {
    /// A queue whose items run on any CPU, each as soon as it is queued. May sleep.
    pub(crate) fn unbound(name: &CStr) -> Result<Self> {
        // SAFETY: `name` is copied.
        let queue = unsafe { shim::ktcp_alloc_unbound_workqueue(name.as_char_ptr()) };
        // INVARIANT: The queue is new, so it is ours.
        NonNull::new(queue).map(Self).ok_or(ENOMEM)
    }

    /// Returns when all items that are queued now have run. Sleeps.
    pub(crate) fn flush(&self) {
        // SAFETY: By the type invariant the queue is valid.
        unsafe { bindings::__flush_workqueue(self.0.as_ptr()) }
    }
}

impl Deref for RawQueue {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        // SAFETY: The queue is valid as long as `self` is.
        unsafe { Queue::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for RawQueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariant the queue is ours, and nobody borrows it any more.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) }
    }
}

/// A workqueue of a module. Dropping it waits until every item on it has run, and destroys it.
///
/// # When it is dropped elsewhere, or not at all
///
/// - By an item, be it of this queue or of another one: that does not wait. The queue takes no more
///   items, and is destroyed as soon as those that it has are done.
/// - Never, because the value was leaked: the queue works until the module is unloaded, which drains
///   and destroys it, with a line in the log. The memory of the value stays leaked.
///
/// An item that does not return holds up whoever waits for it, `rmmod` included.
pub struct OwnedQueue(Arc<Listed>);

impl OwnedQueue {
    /// A queue of `module`, whose items run on any CPU, each as soon as it is queued. The kernel shows
    /// `name` in its reports about workqueues.
    ///
    /// `module` is the one whose code the items are, which its `init` is given.
    ///
    /// # Errors
    ///
    /// `ESHUTDOWN` when the module is about to go; `ENOMEM`.
    ///
    /// May sleep.
    pub fn new(module: &'static ThisModule, name: &CStr) -> Result<Self> {
        let listed = Listed::new(name)?;
        registry::list(module, |number| {
            listed.number.populate(number);
            listed.clone()
        })?;
        Ok(Self(listed))
    }

    /// Has `function` run soon. What it returns can be [joined](Pending::join) out; who is not
    /// interested in it drops what this returns.
    ///
    /// # Errors
    ///
    /// `function` is dropped then, and has not run.
    ///
    /// - `ESHUTDOWN`: the queue was dropped, or its module is about to go.
    /// - `ENOMEM`.
    ///
    /// May sleep.
    pub fn spawn<F, T>(&self, function: F) -> Result<Pending<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let queue = self.0.open_queue().ok_or(ESHUTDOWN)?;
        let (promise, expected) = outcome::pair()?;
        let closure = KBox::pin_init(
            pin_init!(Closure {
                work <- new_work!("ktcp_server::Closure"),
                function: Some(move || promise.keep(function)),
            }),
            GFP_KERNEL,
        )?;
        queue.enqueue(closure);
        Ok(Pending(expected))
    }

    /// Queues a work item of one's own, as [`Queue::enqueue`] does. It can be queued without memory,
    /// and again and again.
    ///
    /// # Errors
    ///
    /// The item itself when the queue was dropped or its module is about to go.
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
        W: RawWorkItem<ID> + Send + 'static,
    {
        match self.0.open_queue() {
            Some(queue) => Ok(queue.enqueue(item)),
            None => Err(item),
        }
    }

    /// Returns when all items that are queued now have run.
    ///
    /// # Errors
    ///
    /// `EDEADLK` within an item, be it of this queue or of another one: it might wait for itself.
    ///
    /// Sleeps.
    pub fn flush(&self) -> Result {
        if is_in_item() {
            return Err(EDEADLK);
        }
        self.0.settle();
        Ok(())
    }
}

impl Drop for OwnedQueue {
    fn drop(&mut self) {
        if is_in_item() {
            self.0.ask();
            registry::leave_to_janitor(self.0.clone());
        } else {
            self.0.destroy();
        }
    }
}

/// Whether the current task runs an item of some queue.
fn is_in_item() -> bool {
    // SAFETY: May be called from any context.
    unsafe { shim::ktcp_in_worker() }
}

/// The result of a closure on a queue. Dropping it does not keep the closure from running.
pub struct Pending<T>(Expected<T>);

impl<T> Pending<T> {
    /// Waits until the closure has returned, and returns its result.
    ///
    /// # Errors
    ///
    /// `EDEADLK` within the closure itself.
    ///
    /// Sleeps.
    pub fn join(mut self) -> Result<T> {
        // Whatever is on a queue is run before the queue goes, so there is something to take.
        self.0.take()?.ok_or(ESRCH)
    }

    /// Whether the closure has returned. Any context.
    pub fn is_finished(&self) -> bool {
        self.0.is_settled()
    }
}

/// A queue that the registry knows. No code of any other module is needed for it, but for the items.
///
/// # Invariants
///
/// `raw` is the queue in `queue`, which is destroyed only after the [`OwnedQueue`] was dropped, or
/// when nothing is left of its module that could use it: no thread, no server, and no item of a
/// queue that has not seen `closed`.
#[pin_data]
struct Listed {
    name: CString,
    /// Its number in the registry.
    number: SetOnce<usize>,
    /// Takes no more items.
    closed: Atomic<bool>,
    /// What `queue` is, for those who must not wait for its lock.
    raw: NonNull<bindings::workqueue_struct>,
    /// Taken when it is destroyed. Locked as long as somebody waits for the items.
    #[pin]
    queue: Mutex<Option<RawQueue>>,
    #[pin]
    work: Work<Listed>,
}

// SAFETY: As for `RawQueue`; the rest is `Send` by itself.
unsafe impl Send for Listed {}

// SAFETY: As above.
unsafe impl Sync for Listed {}

impl_has_work! {
    impl HasWork<Self> for Listed { self.work }
}

impl WorkItem for Listed {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.destroy();
    }
}

impl Listed {
    /// Not inlined: what runs as its work item is to be code of the library, for it may outlive the
    /// module.
    #[inline(never)]
    fn new(name: &CStr) -> Result<Arc<Self>> {
        let queue = RawQueue::unbound(name)?;
        let name = CString::try_from(name)?;
        Arc::pin_init(
            pin_init!(Self {
                name,
                number: SetOnce::new(),
                closed: Atomic::new(false),
                raw: queue.0,
                queue <- new_mutex!(Some(queue)),
                work <- new_work!("ktcp_server::OwnedQueue"),
            }),
            GFP_KERNEL,
        )
    }

    /// The queue, for somebody to queue an item. Any context.
    fn open_queue(&self) -> Option<&Queue> {
        if self.closed.load(Relaxed) {
            return None;
        }
        // SAFETY: By the type invariant the queue is there: the caller has an `OwnedQueue`, and is
        // code of the module.
        Some(unsafe { Queue::from_raw(self.raw.as_ptr()) })
    }

    /// Waits for the items and destroys the queue, unless that was done. Sleeps.
    fn destroy(&self) {
        self.closed.xchg(true, Full);
        let mut queue = self.queue.lock();
        if let Some(raw) = queue.take() {
            drop(raw);
            if let Some(number) = self.number.copy() {
                registry::unlist(number);
            }
        }
    }
}

impl Resident for Listed {
    fn kind(&self) -> Kind {
        Kind::Queue
    }

    fn ask(&self) {
        self.closed.xchg(true, Full);
    }

    fn settle(&self) {
        if let Some(queue) = &*self.queue.lock() {
            queue.flush();
        }
    }

    fn evict(&self) {
        pr_warn!(
            "{}: the module goes without having dropped its queue: draining it\n",
            &*self.name
        );
        self.destroy();
    }
}
