// SPDX-License-Identifier: GPL-2.0

//! The registry of all resources that run code of a module, which ends them before the module is
//! freed.
//!
//! Dropping a [`KernelTcpServer`](crate::KernelTcpServer), or the handle of a
//! [thread](crate::kthread) or a [queue](crate::workqueue), ends it. But safe code may leak the
//! value, or drop it where the drop cannot wait: in a method of the server's own handler, in the
//! thread itself, in an item of the queue. So each resource is recorded here with its module. When
//! the module is unloaded, the remaining ones are ended before its code is freed.
//!
//! The code that ends them belongs to the library alone. An instance of a generic function would be
//! part of the module that is to be freed.
//!
//! A notifier of the kernel announces the end of a module. A notifier that waits would block the
//! load and unload of every other module, perhaps in the very handler that is waited for. So it
//! only takes a reference to the module's kobject, for whose release the kernel waits before it
//! frees the module, and the [cleanup workqueue](crate::module::cleanup) does the rest.
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
        name::Name,
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

/// The stages in which the resources of a module are ended, in this order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Threads and servers, which use queues.
    Tasks,
    /// Queues: once they are ended, no code is left that could use one.
    Queues,
}

/// A resource that runs code of a module.
pub(crate) trait ModuleResource: Send + Sync {
    /// Returns the stage in which the resource is ended.
    fn stage(&self) -> Stage;

    /// Returns the name if the resource is a server.
    fn server_name(&self) -> Option<&CStr> {
        None
    }

    /// Returns the identifier of the server if the current task polls one of its connections in
    /// process context. May sleep.
    fn polled_by_current(&self) -> Option<ServerId> {
        None
    }

    /// Asks the resource to end, without waiting for code of the module. May sleep.
    fn request_stop(&self);

    /// Ends the resource, or waits for the task that does, and removes it from the registry. After
    /// it returns, the resource runs no more code of the module. Sleeps.
    fn shutdown(&self);
}

/// An entry of the registry.
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

/// A module that has resources in the registry.
#[pin_data]
struct Owner {
    /// Only compared, except by the work item, which runs while the module is held. Null for
    /// built-in code.
    module: *mut bindings::module,
    #[pin]
    work: Work<Owner>,
}

// SAFETY: The pointer is only compared, or dereferenced while the module is held.
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
        // SAFETY: `ktcp_module_going` has taken the reference to the module for this call, and the
        // registry has no more resources of the module.
        unsafe { shim::ktcp_release_module(this.module) };
    }
}

global_lock! {
    // SAFETY: Initialised by `init`, before any module can call the library.
    unsafe(uninit) static RECORDS: Mutex<Slab<Record>> = Slab::new();
}

/// Initialises the registry, before any other function of this file is called.
///
/// # Safety
///
/// This is the first call.
pub(crate) unsafe fn init() {
    // SAFETY: By this function's contract.
    unsafe { RECORDS.init() };
}

/// Frees the memory of the registry, when no module is left that uses the library. May sleep.
pub(crate) fn exit() {
    // A static is never dropped, so the memory that the empty list keeps would leak.
    let records = core::mem::replace(&mut *RECORDS.lock(), Slab::new());
    drop(records);
}

/// Returns true if the function `code` is part of `module`. Any context.
///
/// # Safety
///
/// `module` is null or points to a module that is not freed yet.
pub(crate) unsafe fn is_code_of(module: *mut bindings::module, code: *const ()) -> bool {
    // SAFETY: By this function's contract.
    unsafe { shim::ktcp_module_has(module, code.cast()) }
}

/// Returns the name of `module`, or that of the kernel for built-in code. Any context.
pub(crate) fn name_of(module: &'static ThisModule) -> Name {
    // SAFETY: A `ThisModule` is null or points to a module that is loaded; C returns a string, which
    // is copied while the module is.
    Name::new(unsafe { CStr::from_char_ptr(shim::ktcp_module_name(module.as_ptr())) })
}

/// Fails with `EINVAL` if the function `code` is not part of `module`: it could be freed before the
/// resources of `module` are ended. Any context.
pub(crate) fn check_owner(module: &'static ThisModule, name: &CStr, code: *const ()) -> Result {
    // SAFETY: A `ThisModule` is null or points to a module that is loaded.
    if unsafe { is_code_of(module.as_ptr(), code) } {
        Ok(())
    } else {
        pr_err!("{name}: was to be started for a module whose code it is not\n");
        Err(EINVAL)
    }
}

/// Records the resource that `make` returns for its number, as one of `module`. May sleep.
///
/// # Errors
///
/// `ESHUTDOWN` if the module is being unloaded; `ENOMEM`.
pub(crate) fn list(
    module: &'static ThisModule,
    make: impl FnOnce(usize) -> Arc<dyn ModuleResource>,
) -> Result {
    add(&mut RECORDS.lock(), module, make)
}

/// Like [`list`], for a server. Returns true if no other server has its name.
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
    // Otherwise a resource that is being ended could start another one, and so on.
    // SAFETY: A `ThisModule` is null or points to a module that is loaded.
    if !unsafe { shim::ktcp_module_is_live(module) } {
        return Err(ESHUTDOWN);
    }
    let known = records.iter().find(|record| record.owner.module == module);
    let owner = match known {
        Some(record) => record.owner.clone(),
        // Allocated now, so that the end of the module needs no memory.
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

/// Removes the resource with this number from the registry. May sleep.
pub(crate) fn unlist(number: usize) {
    let record = RECORDS.lock().remove(number);
    drop(record);
}

/// Returns the first resource, by number from `from` on, that is `wanted`.
fn next(from: usize, wanted: impl Fn(&Record) -> bool) -> Option<(usize, Arc<dyn ModuleResource>)> {
    let records = RECORDS.lock();
    let mut left = records
        .iter()
        .filter(|record| record.number >= from && wanted(record));
    left.next()
        .map(|record| (record.number, record.resource.clone()))
}

/// Calls `f` for all resources that are `wanted`, until it returns a value.
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

/// Returns the server whose connection the current task, a worker, polls. May sleep.
pub(crate) fn polled_by_current() -> Option<ServerId> {
    find(
        |record| record.resource.server_name().is_some(),
        |resource| resource.polled_by_current(),
    )
}

/// Calls `f` for all resources of `module` that end in `stage`.
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

/// Has the remaining resources of `module` ended before the kernel frees it. Called by the
/// notifier.
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
    // SAFETY: The kernel, which calls this, does not free the module before its notifiers return.
    if unsafe { shim::ktcp_hold_module(module) } {
        // The kernel announces the end of a module once, so the item is not queued now.
        cleanup::defer_module_end(owner);
    } else {
        ktcp_module_shutdown(module);
    }
}

/// Ends the remaining resources of `module`, which can record no new ones. Sleeps.
#[no_mangle]
extern "C" fn ktcp_module_shutdown(module: *mut bindings::module) {
    // All are asked before any is waited for, because one may wait for another.
    for_each(module, Stage::Tasks, |task| task.request_stop());
    shutdown_all(module, Stage::Tasks);
    // The code of the module now runs only in items of queues, which may use other queues: these
    // stay valid until they are drained, but take no more items.
    for_each(module, Stage::Queues, |queue| queue.request_stop());
    shutdown_all(module, Stage::Queues);
}
