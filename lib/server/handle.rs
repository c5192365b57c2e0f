// SPDX-License-Identifier: GPL-2.0

//! A server as the registry and its owner's value hold it: from its start until it is stopped.

use super::{
    running::RunningServer,
    shared::Shared, //
};
use crate::{
    module::{
        cleanup::{
            self,
            DeferredArc, //
        },
        debugfs::Dir,
        kthread,
        library,
        registry::{
            self,
            ModuleResource, //
            Stage,
        }, //
    },
    sync::{
        context,
        deadlock::{
            self,
            Awaited,
            ServerId,
            Waiter, //
        },
        latch::Latch,
        lock_class::{
            new_mutex,
            new_work, //
        }, //
    },
    util::name::Name, //
};
use kernel::{
    impl_has_work,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex,
        SetOnce, //
    },
    time::Delta,
    workqueue::{
        Work,
        WorkItem, //
    }, //
};

/// The longest time that connections are given to drain, as the builder has it.
const LONGEST_DRAIN: Delta = Delta::from_secs(24 * 60 * 60);

/// The longest time that they are given when the module has left its server: the task that unloads the
/// module waits in a way that the kernel takes for a fault after two minutes.
const LONGEST_DRAIN_OF_LEFT: Delta = Delta::from_secs(60);

/// A server that was started, or is being.
#[pin_data]
pub(super) struct ServerHandle {
    name: Name,
    /// Its number in the registry.
    number: SetOnce<usize>,
    /// Once it runs.
    shared: SetOnce<DeferredArc<Shared>>,
    /// The time that its owner gives connections to drain, if that was said.
    within: SetOnce<Delta>,
    /// The owner has dropped it, or shut it down.
    closed: Atomic<bool>,
    /// The module goes.
    leaving: Atomic<bool>,
    /// Taken by the task that stops the server. Not held while that is done, nor while it starts: the
    /// handler may own a server, even this one.
    #[pin]
    running: Mutex<Option<RunningServer>>,
    /// Opened when the server runs, or could not be started.
    #[pin]
    started: Latch,
    /// Opened when the server is stopped and no code of its module runs any more.
    #[pin]
    stopped: Latch,
    #[pin]
    work: Work<ServerHandle>,
}

impl_has_work! {
    impl HasWork<Self> for ServerHandle { self.work }
}

impl WorkItem for ServerHandle {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.stop();
    }
}

impl ServerHandle {
    /// Records a server of `module` that `start` starts, given the folder for its files. When it cannot
    /// be started it is not recorded. May sleep.
    pub(super) fn new(
        name: &Name,
        module: &'static ThisModule,
        start: impl FnOnce((&Arc<Dir>, &CStr)) -> Result<RunningServer>,
    ) -> Result<Arc<Self>> {
        let handle = Self::unlisted(name)?;
        let first = handle.list(module)?;
        match handle.start(first, start) {
            Ok(server) => {
                handle.shared.populate(DeferredArc::new(server.shared()));
                let mut running = handle.running.lock();
                if handle.leaving.load(Relaxed) {
                    server.begin_stop();
                }
                *running = Some(server);
                drop(running);
                handle.started.open();
                Ok(handle)
            }
            Err(error) => {
                handle.unlist();
                handle.started.open();
                handle.stopped.open();
                Err(error)
            }
        }
    }

    /// Not inlined: what runs as its work item is to be code of the library.
    #[inline(never)]
    fn unlisted(name: &Name) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                name: *name,
                number: SetOnce::new(),
                shared: SetOnce::new(),
                within: SetOnce::new(),
                closed: Atomic::new(false),
                leaving: Atomic::new(false),
                running <- new_mutex!(None),
                started <- Latch::new(),
                stopped <- Latch::new(),
                work <- new_work!("ktcp_server::ServerHandle"),
            }),
            GFP_KERNEL,
        )
    }

    /// Records it; says whether it is the only one of that name.
    #[inline(never)]
    fn list(self: &Arc<Self>, module: &'static ThisModule) -> Result<bool> {
        registry::list_server(module, &self.name, |number| {
            self.number.populate(number);
            self.clone()
        })
    }

    /// Calls `start` with the folder for the files of the server: one of its name, to which its
    /// number is added unless it is the first of that name.
    fn start(
        &self,
        first: bool,
        start: impl FnOnce((&Arc<Dir>, &CStr)) -> Result<RunningServer>,
    ) -> Result<RunningServer> {
        let folder = library::folder()?;
        let name: &CStr = &self.name;
        if first {
            return start((&folder, name));
        }
        let number = self.number.copy().unwrap_or_default();
        start((&folder, &*CString::try_from_fmt(fmt!("{name}.{number}"))?))
    }

    fn unlist(&self) {
        if let Some(number) = self.number.copy() {
            registry::unlist(number);
        }
    }

    /// Returns what the tasks of the server share, once it has started.
    pub(super) fn shared(&self) -> Option<&DeferredArc<Shared>> {
        self.shared.as_ref()
    }

    /// Stops the server for its owner, unless another task does, and returns when no code of its module
    /// runs any more. Where it cannot wait for that, it only has the server stop: in a handler, in a
    /// task for which a handler of the server waits, and where one must not sleep. Otherwise sleeps.
    pub(super) fn close(self: &Arc<Self>, within: Option<Delta>) {
        self.closed.store(true, Relaxed);
        if let Some(within) = within {
            self.within
                .populate(within.clamp(Delta::ZERO, LONGEST_DRAIN));
        }
        if context::must_not_sleep() {
            return cleanup::defer(self.clone());
        }
        // A handler's own server waits for it; and that of another handler may do the same to its own.
        let waits = !runs_code_of_a_server();
        if !waits || deadlock::wait_for(kthread::current_waiter(), &**self, || self.stop()).is_err()
        {
            if let Some(running) = &*self.running.lock() {
                running.begin_stop();
            }
            cleanup::defer(self.clone());
        }
    }

    /// Stops the server unless another task does. Sleeps.
    fn stop(&self) {
        let running = self.running.lock().take();
        if let Some(mut running) = running {
            running.stop(self.within.copy());
            drop(running);
            self.unlist();
            self.stopped.open();
        }
    }
}

/// Returns true if the current task runs the handler of some server, or drops what a server has had. In
/// a task that may sleep.
pub(crate) fn runs_code_of_a_server() -> bool {
    kthread::is_of_a_server() || context::in_worker() && registry::polled_by_current().is_some()
}

impl Awaited for ServerHandle {
    fn depends_on(&self, waiter: Waiter) -> bool {
        let shared = self.shared();
        shared.is_some_and(|shared| waiter.server == Some(shared.id()))
    }
}

impl ModuleResource for ServerHandle {
    fn stage(&self) -> Stage {
        Stage::Tasks
    }

    fn server_name(&self) -> Option<&CStr> {
        Some(&self.name)
    }

    fn polled_by_current(&self) -> Option<ServerId> {
        let shared = self.shared()?;
        shared.is_polled_by_current().then(|| shared.id())
    }

    fn request_stop(&self) {
        let running = self.running.lock();
        // For a start that is under way.
        self.leaving.store(true, Relaxed);
        if let Some(running) = &*running {
            running.begin_stop();
        }
    }

    fn shutdown(&self) {
        self.started.wait();
        // Unless its owner has said something else.
        let drain = self.shared().map(|shared| shared.config.drain);
        self.within
            .populate(drain.unwrap_or(Delta::ZERO).min(LONGEST_DRAIN_OF_LEFT));
        if !self.closed.load(Relaxed) {
            let name: &CStr = &self.name;
            pr_warn!("{name}: the module goes without having dropped its server: stopping it\n");
        }
        self.stop();
        self.stopped.wait();
    }
}
