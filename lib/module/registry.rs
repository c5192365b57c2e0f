// SPDX-License-Identifier: GPL-2.0

//! The record of all that runs code of a module, so that nothing does when the module is gone.
//!
//! Dropping a [`KernelTcpServer`](crate::KernelTcpServer), a handle of a [thread](crate::kthread) or
//! a [queue](crate::workqueue) ends what it stands for, but safe code may leak the value, or drop it
//! where it cannot wait: in a method of the server's own handler, in the thread itself, in an item of
//! the queue. So each of them is recorded here, with its module. When a module goes, what is left of it
//! is ended before the memory of its code is freed.
//!
//! What ends them is code of the library alone, never an instance of a generic function, which would
//! be part of the module that is to be freed.
//!
//! The kernel tells of a module that goes by a notifier. To wait there would hold up every other module
//! that is loaded or unloaded, and so perhaps the very handler that is waited for. So the notifier only
//! takes a reference on the module's kobject, which the kernel waits for before it frees anything, and
//! the [cleanup workqueue](crate::module::cleanup) does the rest.
//!
//! C header: [`include/linux/module.h`](srctree/include/linux/module.h)

use crate::{
    module::cleanup,
    shim,
    sync::{
        deadlock::ServerId,
        lock_class::new_work, //
    },
    util::{
        error::ESHUTDOWN,
        slab::Slab, //
    }, //
};
use kernel::{
    bindings,
    impl_has_work,
    prelude::*,
    sync::{
        global_lock,
        Arc, //
    },
    workqueue::{
        Work,
        WorkItem, //
    }, //
};

/// The stages in which what is left of a module is ended, one after the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Threads and servers: they use queues.
    Tasks,
    /// Queues: when they are ended nothing is left that could use one.
    Queues,
}

/// Something that runs code of a module.
pub(crate) trait ModuleResource: Send + Sync {
    /// Returns the stage in which it is ended.
    fn stage(&self) -> Stage;

    /// The name of a server.
    fn server_name(&self) -> Option<&CStr> {
        None
    }

    /// Returns which server it is, if the current task polls a connection of it where it may sleep. May
    /// sleep.
    fn polled_by_current(&self) -> Option<ServerId> {
        None
    }

    /// Asks it to end, without waiting for code of the module. May sleep.
    fn request_stop(&self);

    /// Ends it unless another task does, and returns when no code of the module runs on its behalf any
    /// more, nor will. It is not recorded then. Sleeps.
    fn shutdown(&self);
}

/// A line of the record.
struct Record {
    number: usize,
    owner: Arc<Owner>,
    resource: Arc<dyn ModuleResource>,
}

impl Record {
    fn is_of(&self, module: *mut bindings::module, stage: Stage) -> bool {
        self.owner.module == module && self.resource.stage() == stage
    }
}

/// A module of which something is recorded.
#[pin_data]
struct Owner {
    /// Only compared, but by the work item, while the module is held. Null is built-in code.
    module: *mut bindings::module,
    #[pin]
    work: Work<Owner>,
}

// SAFETY: The pointer is only compared, or used while the module is held.
unsafe impl Send for Owner {}

// SAFETY: As above.
unsafe impl Sync for Owner {}

impl_has_work! {
    impl HasWork<Self> for Owner { self.work }
}

impl WorkItem for Owner {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        ktcp_module_shutdown(this.module);
        // SAFETY: `ktcp_module_going` has held the module once for this call, and nothing of it is
        // recorded any more.
        unsafe { shim::ktcp_release_module(this.module) };
    }
}

global_lock! {
    // SAFETY: Initialised by `init`, before any module can call the library.
    unsafe(uninit) static RECORDS: Mutex<Slab<Record>> = Slab::new();
}

/// Called once, before everything else.
///
/// # Safety
///
/// This is the first call.
pub(crate) unsafe fn init() {
    // SAFETY: By this function's contract.
    unsafe { RECORDS.init() };
}

/// Frees the record when no module is left that uses the library. May sleep.
pub(crate) fn exit() {
    // A static is not dropped: the room that the list once had would stay behind.
    let records = core::mem::replace(&mut *RECORDS.lock(), Slab::new());
    drop(records);
}

/// Returns true if `code`, a function, is part of `module`. Any context.
///
/// # Safety
///
/// `module` is null, or there.
pub(crate) unsafe fn is_code_of(module: *mut bindings::module, code: *const ()) -> bool {
    // SAFETY: By this function's contract.
    unsafe { shim::ktcp_module_has(module, code.cast()) }
}

/// Fails with `EINVAL` if `code`, a function, is not part of `module`: it would be freed before what
/// is recorded of `module` is ended. Any context.
pub(crate) fn check_owner(module: &'static ThisModule, name: &CStr, code: *const ()) -> Result {
    // SAFETY: A `ThisModule` is null or points to a module that is there.
    if unsafe { is_code_of(module.as_ptr(), code) } {
        Ok(())
    } else {
        pr_err!("{name}: was to be started for a module whose code it is not\n");
        Err(EINVAL)
    }
}

/// Records what `make` returns for its number, as part of `module`. May sleep.
///
/// # Errors
///
/// `ESHUTDOWN` when the module is about to go; `ENOMEM`.
pub(crate) fn list(
    module: &'static ThisModule,
    make: impl FnOnce(usize) -> Arc<dyn ModuleResource>,
) -> Result {
    add(&mut RECORDS.lock(), module, make)
}

/// As [`list`]; says whether `server` is the only one of that name.
pub(crate) fn list_server(
    module: &'static ThisModule,
    name: &CStr,
    make: impl FnOnce(usize) -> Arc<dyn ModuleResource>,
) -> Result<bool> {
    let namesake = |record: &Record| record.resource.server_name() == Some(name);
    let mut records = RECORDS.lock();
    let first = !records.iter().any(namesake);
    add(&mut records, module, make)?;
    Ok(first)
}

fn add(
    records: &mut Slab<Record>,
    module: &'static ThisModule,
    make: impl FnOnce(usize) -> Arc<dyn ModuleResource>,
) -> Result {
    let module = module.as_ptr();
    // Otherwise one that is about to end could start another one, and so on.
    // SAFETY: A `ThisModule` is null or points to a module that is there.
    if !unsafe { shim::ktcp_module_is_live(module) } {
        return Err(ESHUTDOWN);
    }
    let known = records.iter().find(|record| record.owner.module == module);
    let owner = match known {
        Some(record) => record.owner.clone(),
        // Made now, so that no memory is needed when the module goes.
        None => Arc::pin_init(
            pin_init!(Owner { module, work <- new_work!("ktcp_server::Owner") }),
            GFP_KERNEL,
        )?,
    };
    records.add(|number| {
        Ok(Record {
            number,
            owner,
            resource: make(number),
        })
    })
}

/// Takes what was recorded with this number out. May sleep.
pub(crate) fn unlist(number: usize) {
    let record = RECORDS.lock().remove(number);
    drop(record);
}

/// The first that is recorded from that number on and that is wanted.
fn next(from: usize, wanted: impl Fn(&Record) -> bool) -> Option<(usize, Arc<dyn ModuleResource>)> {
    let records = RECORDS.lock();
    let mut left = records
        .iter()
        .filter(|record| record.number >= from && wanted(record));
    left.next()
        .map(|record| (record.number, record.resource.clone()))
}

/// Calls `f` for all that is recorded and that is wanted, until it returns something.
fn find<T>(
    wanted: impl Fn(&Record) -> bool,
    f: impl Fn(&dyn ModuleResource) -> Option<T>,
) -> Option<T> {
    let mut from = 0;
    while let Some((number, resource)) = next(from, &wanted) {
        let found = f(&*resource);
        if found.is_some() {
            return found;
        }
        from = number + 1;
    }
    None
}

/// Returns the server of which the current task, a worker, polls a connection. May sleep.
pub(crate) fn polled_by_current() -> Option<ServerId> {
    find(
        |record| record.resource.server_name().is_some(),
        |resource| resource.polled_by_current(),
    )
}

/// Calls `f` for all that is recorded of `module` and ends in that stage.
fn for_each(module: *mut bindings::module, stage: Stage, f: impl Fn(&dyn ModuleResource)) {
    find(
        |record| record.is_of(module, stage),
        |resource| {
            f(resource);
            None::<()>
        },
    );
}

fn shutdown_all(module: *mut bindings::module, stage: Stage) {
    while let Some((_, resource)) = next(0, |record| record.is_of(module, stage)) {
        resource.shutdown();
    }
}

/// Has what is left of `module`, which is about to be freed, ended before that.
#[no_mangle]
extern "C" fn ktcp_module_going(module: *mut bindings::module) {
    let owner = RECORDS
        .lock()
        .iter()
        .find(|record| record.owner.module == module)
        .map(|record| record.owner.clone());
    let Some(owner) = owner else {
        return;
    };
    // SAFETY: The caller, the kernel, has the module, and does not free it before its notifiers return.
    if unsafe { shim::ktcp_hold_module(module) } {
        // A module goes once, so the item is not queued now.
        cleanup::defer_module_end(owner);
    } else {
        ktcp_module_shutdown(module);
    }
}

/// Ends what is left of `module`, of which nothing more is recorded. Sleeps.
#[no_mangle]
extern "C" fn ktcp_module_shutdown(module: *mut bindings::module) {
    // All at once, for one may wait for another.
    for_each(module, Stage::Tasks, |task| task.request_stop());
    shutdown_all(module, Stage::Tasks);
    // What is left of the module is items of queues, which may use other queues: these are there, and
    // take no more.
    for_each(module, Stage::Queues, |queue| queue.request_stop());
    shutdown_all(module, Stage::Queues);
}
