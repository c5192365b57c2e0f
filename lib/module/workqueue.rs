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

use crate::{
    module::{
        cleanup,
        kthread,
        raw_queue::{
            surely_active,
            RawQueue, //
        },
        registry::{
            self,
            Kind,
            ModuleResource, //
        }, //
    },
    shim::layout::WQ_MAX_ACTIVE,
    sync::{
        context,
        deadlock::{
            self,
            Awaited,
            Waiter, //
        },
        lock_class::{
            new_mutex,
            new_spinlock,
            new_work, //
        },
        oneshot, //
    },
    util::error::{
        EDEADLK,
        ESHUTDOWN, //
    }, //
};
use core::ptr::NonNull;
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
        rcu,
        Arc,
        Mutex,
        SetOnce,
        SpinLock, //
    },
    task::Task,
    workqueue::{
        RawWorkItem,
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

const WORK_CPU_UNBOUND: c_int = bindings::wq_misc_consts_WORK_CPU_UNBOUND as c_int;

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
pub struct OwnedQueue(Arc<Listed>);

impl OwnedQueue {
    /// The most closures that are on a queue and have not returned, so that all of them run at once
    /// if each waits for the others. Fewer on a machine with several memory nodes, among which the
    /// kernel shares out how many items run.
    pub const MAX_UNFINISHED: u32 = 1024;

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
        Listed::new(module, name).map(Self)
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

/// The place of a closure among those that were given to a queue and have not returned yet.
struct Unfinished(Arc<Listed>);

impl Unfinished {
    /// Fails with `EAGAIN` when there are as many as there may be.
    fn new(queue: &Arc<Listed>) -> Result<Self> {
        // INVARIANT: What is added here, `drop` takes away.
        let place = Self(queue.clone());
        if queue.unfinished.fetch_add(1, Relaxed) >= queue.most {
            return Err(EAGAIN);
        }
        Ok(place)
    }

    /// Calls `function` as an item of the queue.
    fn run(self, function: impl FnOnce()) {
        let task = Task::current_raw().addr();
        // There is room: no more run than are unfinished. A panic ends the task without unwinding, so that
        // what is kept of it is a number and nothing on its stack.
        let _ = self.0.running.lock().push_within_capacity(task);
        function();
        let mut running = self.0.running.lock();
        if let Some(index) = running.iter().position(|&other| other == task) {
            let last = running.len() - 1;
            running.swap(index, last);
            running.truncate(last);
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        self.0.unfinished.fetch_sub(1, Relaxed);
    }
}

/// A queue that the registry knows. No code of any other module is needed for it, but for the items.
///
/// # Invariants
///
/// `raw` is the queue in `queue`. That is destroyed only after `closed` was set and a grace period of
/// RCU has passed: whatever has seen, in a read-side critical section, that it is not closed finds
/// the queue there until the end of that section.
#[pin_data]
struct Listed {
    name: CString,
    /// Whose code the items are; only compared.
    module: *mut bindings::module,
    /// Its number in the registry.
    number: SetOnce<usize>,
    /// Takes no more items.
    closed: Atomic<bool>,
    /// Number of [`Unfinished`] that there are, and that there may be.
    unfinished: Atomic<u32>,
    most: u32,
    /// The tasks that run closures of it, with room for all that there may be.
    #[pin]
    running: SpinLock<KVec<usize>>,
    raw: NonNull<bindings::workqueue_struct>,
    /// Taken when it is destroyed. Locked as long as a task waits for the items.
    #[pin]
    queue: Mutex<Option<RawQueue>>,
    #[pin]
    work: Work<Listed>,
}

// SAFETY: As for `RawQueue`; the module is only compared, and the rest is `Send` by itself.
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
    /// A queue of `module`, in the registry. May sleep.
    ///
    /// Not inlined: what runs as its work item, and what the registry calls, is to be code of the
    /// library, for it may outlive the module.
    #[inline(never)]
    fn new(module: &'static ThisModule, name: &CStr) -> Result<Arc<Self>> {
        let queue = RawQueue::with_max_active(name, WQ_MAX_ACTIVE)?;
        let name = CString::try_from(name)?;
        let most = OwnedQueue::MAX_UNFINISHED.min(surely_active(WQ_MAX_ACTIVE));
        let running = KVec::with_capacity(most as usize, GFP_KERNEL)?;
        let listed = Arc::pin_init(
            pin_init!(Self {
                name,
                module: module.as_ptr(),
                number: SetOnce::new(),
                closed: Atomic::new(false),
                unfinished: Atomic::new(0),
                most,
                running <- new_spinlock!(running),
                raw: queue.as_non_null(),
                queue <- new_mutex!(Some(queue)),
                work <- new_work!("ktcp_server::OwnedQueue"),
            }),
            GFP_KERNEL,
        )?;
        registry::list(module, |number| {
            listed.number.populate(number);
            listed.clone()
        })?;
        Ok(listed)
    }

    /// Fails with `EINVAL` if `code`, a function, would be freed before the queue is drained. Any
    /// context.
    fn check_owner(&self, code: *const ()) -> Result {
        let _reading = rcu::read_lock();
        // A closed queue takes no item anyway, and its module may be gone.
        if self.closed.load(Relaxed) {
            return Ok(());
        }
        // SAFETY: The module of a queue that is not closed is there until the end of the critical
        // section: it goes after the queue, which waits for a grace period.
        if unsafe { registry::is_code_of(self.module, code) } {
            return Ok(());
        }
        pr_err!(
            "{}: was to run an item for a module whose code it is not\n",
            &*self.name
        );
        Err(EINVAL)
    }

    /// Queues an item, and gives it back when the queue takes no more. Any context.
    fn enqueue<W, const ID: u64>(&self, item: W) -> Result<W::EnqueueOutput, W>
    where
        W: RawWorkItem<ID> + Send + 'static,
    {
        let _reading = rcu::read_lock();
        if self.closed.load(Relaxed) {
            return Err(item);
        }
        let raw = self.raw.as_ptr();
        let name: &CStr = &self.name;
        let module = self.module;
        // SAFETY: `item` is `Send` and `'static`, as `__enqueue` wants it, and false is returned only if
        // the item is in a queue already. An item that is kept out is never run, so that it may be
        // forgotten. The queue is not closed, so that by the type invariant it is there until the end of
        // the critical section, and with it the module.
        Ok(unsafe {
            item.__enqueue(move |work| {
                // Of a generic item, the crate that has made it has chosen the instance that runs.
                let runs = (*work)
                    .func
                    .map_or(core::ptr::null(), |func| func as *const ());
                if !registry::is_code_of(module, runs) {
                    pr_err!("{name}: was to run an item for a module whose code it is not\n");
                    return true;
                }
                bindings::queue_work_on(WORK_CPU_UNBOUND, raw, work)
            })
        })
    }

    /// Calls `block`, which waits for the items; fails with `EDEADLK` when one of them waits for the
    /// caller.
    fn wait(&self, block: impl FnOnce()) -> Result {
        deadlock::wait_for(kthread::current_waiter(), self, block)
    }

    /// Waits for the items that are queued now. Sleeps.
    fn flush(&self) {
        if let Some(queue) = &*self.queue.lock() {
            queue.flush();
        }
    }

    /// Waits for the items and destroys the queue, unless that was done. Sleeps.
    fn destroy(&self) {
        self.closed.xchg(true, Full);
        let mut queue = self.queue.lock();
        if let Some(raw) = queue.take() {
            // Whatever has seen the queue open has queued its item after this.
            // SAFETY: The caller may sleep.
            unsafe { bindings::synchronize_rcu() };
            // INVARIANT: It is closed, and a grace period has passed.
            drop(raw);
            if let Some(number) = self.number.copy() {
                registry::unlist(number);
            }
        }
    }
}

impl Awaited for Listed {
    fn depends_on(&self, waiter: Waiter) -> bool {
        waiter.is_worker && self.running.lock().iter().any(|&task| task == waiter.task)
    }
}

impl ModuleResource for Listed {
    fn kind(&self) -> Kind {
        Kind::Queue
    }

    fn request_stop(&self) {
        self.closed.xchg(true, Full);
    }

    fn shutdown(&self) {
        pr_warn!(
            "{}: the module goes without having dropped its queue: draining it\n",
            &*self.name
        );
        self.destroy();
    }
}
