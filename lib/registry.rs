// SPDX-License-Identifier: GPL-2.0

//! All that runs code of a module, so that nothing does when the module is gone.
//!
//! Dropping a [`KernelTcpServer`](crate::KernelTcpServer), a handle of a [thread](crate::kthread) or
//! a [queue](crate::workqueue) ends what it stands for, but safe code may leak the value, or drop it
//! where nobody can wait: in a method of the server's own handler, in the thread itself, in an item
//! of the queue. So each of them is listed here, with its module. When a module goes, what is left
//! of it is ended before the memory of its code is freed.
//!
//! What ends them is code of the library alone, never an instance of a generic function, which would
//! be part of the module that is to be freed.

use crate::{
    error::ESHUTDOWN,
    latch::Latch,
    lock_class::{
        new_mutex,
        new_work, //
    },
    service::{
        Kept,
        Server, //
    },
    shim,
    slots::Slots,
    softirq::{
        self,
        SoftirqsOff, //
    },
    workqueue::RawQueue, //
};
use kernel::{
    bindings,
    debugfs::Dir,
    impl_has_work,
    prelude::*,
    str::CString,
    sync::{
        global_lock,
        Arc,
        Mutex,
        SetOnce, //
    },
    time::Delta,
    workqueue::{
        HasWork,
        Work,
        WorkItem, //
    }, //
};

/// In which order what is left of a module is ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Threads and servers: they use queues.
    Task,
    /// Queues: when they are ended nothing is left that could use one.
    Queue,
}

/// Something that runs code of a module.
pub(crate) trait Resident: Send + Sync {
    fn kind(&self) -> Kind;

    /// The name of a server.
    fn server_name(&self) -> Option<&CStr> {
        None
    }

    /// Whether the current task runs the handler of this server. May sleep.
    fn runs_current(&self) -> bool {
        false
    }

    /// Asks it to end, without waiting for code of the module. May sleep.
    fn ask(&self);

    /// Returns when what it had to do by then is done. Sleeps.
    fn settle(&self) {}

    /// Ends it unless someone else does, and returns when no code of the module runs on its behalf
    /// any more, nor will. It is not listed then. Sleeps.
    fn evict(&self);
}

/// A place in the list.
struct Place {
    number: usize,
    /// Only compared.
    module: usize,
    resident: Arc<dyn Resident>,
}

impl Place {
    fn is_of(&self, module: usize, kind: Kind) -> bool {
        self.module == module && self.resident.kind() == kind
    }
}

global_lock! {
    // SAFETY: Initialised by `ktcp_library_init`, before any module can call the library.
    unsafe(uninit) static PLACES: Mutex<Slots<Place>> = Slots::new();
}

/// Fails with `EINVAL` if `code`, a function, is not part of `module`: it would be freed before what
/// is listed of `module` is ended. Any context.
pub(crate) fn check_owner(module: &'static ThisModule, name: &CStr, code: *const ()) -> Result {
    // SAFETY: A `ThisModule` is null or points to a module that is there.
    if unsafe { shim::ktcp_module_has(module.as_ptr(), code.cast()) } {
        Ok(())
    } else {
        pr_err!("{name}: was to be started for a module whose code it is not\n");
        Err(EINVAL)
    }
}

/// Lists what `make` returns for its number, as part of `module`. May sleep.
///
/// # Errors
///
/// `ESHUTDOWN` when the module is about to go; `ENOMEM`.
pub(crate) fn list(
    module: &'static ThisModule,
    make: impl FnOnce(usize) -> Arc<dyn Resident>,
) -> Result {
    add(&mut PLACES.lock(), module, make)
}

fn add(
    places: &mut Slots<Place>,
    module: &'static ThisModule,
    make: impl FnOnce(usize) -> Arc<dyn Resident>,
) -> Result {
    // Otherwise one that is about to end could start another one, and so on.
    // SAFETY: A `ThisModule` is null or points to a module that is there.
    if !unsafe { shim::ktcp_module_is_live(module.as_ptr()) } {
        return Err(ESHUTDOWN);
    }
    places.add(|number| {
        Ok(Place {
            number,
            module: module.as_ptr().addr(),
            resident: make(number),
        })
    })
}

/// Takes what was listed with this number off the list. May sleep.
pub(crate) fn unlist(number: usize) {
    let place = PLACES.lock().remove(number);
    drop(place);
}

/// Has `item` run soon by a task of the library. Any context.
pub(crate) fn leave_to_janitor<T>(item: Arc<T>)
where
    T: WorkItem<0, Pointer = Arc<T>> + HasWork<T, 0> + Send + Sync + 'static,
{
    with_library(|library| {
        if let Some(library) = library {
            // Those who call this do so once for an item, so it is not queued now.
            let _ = library.janitor.enqueue(item);
        }
    });
}

/// A server in the list.
#[pin_data]
pub(crate) struct Entry {
    name: &'static CStr,
    /// Its number in the list.
    number: SetOnce<usize>,
    /// Once it runs.
    shared: SetOnce<Kept>,
    /// Taken by whoever stops the server.
    #[pin]
    running: Mutex<Option<Server>>,
    /// Opened when the server is stopped and no code of its module runs any more.
    #[pin]
    stopped: Latch,
    #[pin]
    work: Work<Entry>,
}

impl_has_work! {
    impl HasWork<Self> for Entry { self.work }
}

impl WorkItem for Entry {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        this.stop(None);
    }
}

impl Resident for Entry {
    fn kind(&self) -> Kind {
        Kind::Task
    }

    fn server_name(&self) -> Option<&CStr> {
        Some(self.name)
    }

    fn runs_current(&self) -> bool {
        // Not by way of `running`: who starts a server, and drops its handler when that fails, has
        // locked it.
        self.shared().is_some_and(|shared| shared.runs_current())
    }

    fn ask(&self) {
        if let Some(running) = &*self.running.lock() {
            running.begin_stop();
        }
    }

    fn evict(&self) {
        pr_warn!(
            "{}: the module goes without having dropped its server: stopping it\n",
            self.name
        );
        self.stop(None);
        self.stopped.wait();
    }
}

/// What the library has for all servers.
struct Library {
    /// Does what those who must not wait have left to be done.
    janitor: RawQueue,
    /// The folder for what is seen of the servers.
    folder: Dir,
}

global_lock! {
    // SAFETY: Initialised by `ktcp_library_init`, before any module can call the library.
    unsafe(uninit) static LIBRARY: SpinLock<Option<Library>> = None;
}

/// Calls `f`, which must not sleep, with what the library has for all servers. Any context.
fn with_library<T>(f: impl FnOnce(&mut Option<Library>) -> T) -> T {
    let _off = SoftirqsOff::new();
    // By a name: a temporary of the last expression would be locked when softirqs are on again.
    let mut library = LIBRARY.lock();
    f(&mut library)
}

impl Entry {
    /// Lists a server of `module` that `start` starts, given a place for its files. When it cannot
    /// be started it is not listed. May sleep.
    pub(crate) fn new(
        name: &'static CStr,
        module: &'static ThisModule,
        start: impl FnOnce((&Dir, &CStr)) -> Result<Server>,
    ) -> Result<Arc<Self>> {
        let entry = Self::unlisted(name)?;
        // Held until it runs: who ends what is left of the module waits for that.
        let mut running = entry.running.lock();
        let first = entry.list(module)?;
        let started = entry.start(first, start);
        if let Ok(server) = &started {
            entry.shared.populate(Kept::new(server.shared()));
        }
        let failed = started.as_ref().err().copied();
        *running = started.ok();
        drop(running);

        match failed {
            None => Ok(entry),
            Some(error) => {
                entry.unlist();
                entry.stopped.open();
                Err(error)
            }
        }
    }

    /// Not inlined: what runs as its work item is to be code of the library.
    #[inline(never)]
    fn unlisted(name: &'static CStr) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                name,
                number: SetOnce::new(),
                shared: SetOnce::new(),
                running <- new_mutex!(None),
                stopped <- Latch::new(),
                work <- new_work!("ktcp_server::Entry"),
            }),
            GFP_KERNEL,
        )
    }

    /// Lists it; says whether it is the only one of that name.
    #[inline(never)]
    fn list(self: &Arc<Self>, module: &'static ThisModule) -> Result<bool> {
        let namesake = |place: &Place| place.resident.server_name() == Some(self.name);
        let mut places = PLACES.lock();
        let first = !places.iter().any(namesake);
        add(&mut places, module, |number| {
            self.number.populate(number);
            self.clone()
        })?;
        Ok(first)
    }

    /// Calls `start` with a place for the files of the server: in a folder of its name, to which its
    /// number is added unless it is the first of that name.
    fn start(
        &self,
        first: bool,
        start: impl FnOnce((&Dir, &CStr)) -> Result<Server>,
    ) -> Result<Server> {
        let folder = with_library(|library| library.as_ref().map(|library| library.folder.clone()));
        let folder = folder.ok_or(ENODEV)?;
        let name = self.name;
        if first {
            return start((&folder, name));
        }
        let number = self.number.copy().unwrap_or_default();
        start((&folder, &*CString::try_from_fmt(fmt!("{name}.{number}"))?))
    }

    fn unlist(&self) {
        if let Some(number) = self.number.copy() {
            unlist(number);
        }
    }

    /// What the tasks of the server share, once it has started.
    pub(crate) fn shared(&self) -> Option<&Kept> {
        self.shared.as_ref()
    }

    /// Stops the server unless someone else does, and returns when no code of its module runs any
    /// more. From a handler it only begins to stop. Sleeps, but not in a handler that must not.
    pub(crate) fn close(self: &Arc<Self>, within: Option<Delta>) {
        if softirq::are_off() {
            // Who must not sleep cannot wait, nor take a look: such is a handler that does not sleep.
            leave_to_janitor(self.clone());
        } else if runs_a_handler() {
            // Its own server waits for it; and that of another handler may do the same to its own.
            self.ask();
            leave_to_janitor(self.clone());
        } else {
            self.stop(within);
        }
    }

    /// Stops the server unless someone else does. Sleeps.
    fn stop(&self, within: Option<Delta>) {
        // Not held while the server stops: its handler may own a server, even this one.
        let running = self.running.lock().take();
        if let Some(mut running) = running {
            running.stop(within);
            drop(running);
            self.unlist();
            self.stopped.open();
        }
    }
}

/// The first that is listed from that number on and that is wanted.
fn next(from: usize, wanted: impl Fn(&Place) -> bool) -> Option<(usize, Arc<dyn Resident>)> {
    let places = PLACES.lock();
    let mut left = places
        .iter()
        .filter(|place| place.number >= from && wanted(place));
    left.next()
        .map(|place| (place.number, place.resident.clone()))
}

/// Calls `f` for all that is listed and that is wanted, until it says that this was enough; says
/// whether it has.
fn find(wanted: impl Fn(&Place) -> bool, f: impl Fn(&dyn Resident) -> bool) -> bool {
    let mut from = 0;
    while let Some((number, resident)) = next(from, &wanted) {
        if f(&*resident) {
            return true;
        }
        from = number + 1;
    }
    false
}

/// Whether the current task runs the handler of some server. May sleep.
fn runs_a_handler() -> bool {
    find(|_| true, |resident| resident.runs_current())
}

/// Calls `f` for all of that kind that is listed of `module`.
fn for_each(module: usize, kind: Kind, f: impl Fn(&dyn Resident)) {
    find(
        |place| place.is_of(module, kind),
        |resident| {
            f(resident);
            false
        },
    );
}

fn evict_all(module: usize, kind: Kind) {
    while let Some((_, resident)) = next(0, |place| place.is_of(module, kind)) {
        resident.evict();
    }
}

/// Ends what is left of `module`, which is about to be freed. Nothing of it is listed any more.
#[no_mangle]
extern "C" fn ktcp_module_going(module: *mut bindings::module) {
    let module = module.addr();
    // All at once, for one may wait for another.
    for_each(module, Kind::Task, |task| task.ask());
    evict_all(module, Kind::Task);

    // What is left of the module is items of queues, which may use other queues: none of these goes
    // before all items are done. Once the queues take no more, the first round ends the items that
    // have not seen this, the second those that these have queued.
    for_each(module, Kind::Queue, |queue| queue.ask());
    for _ in 0..2 {
        for_each(module, Kind::Queue, |queue| queue.settle());
    }
    evict_all(module, Kind::Queue);
}

/// Called once, before everything else.
///
/// # Safety
///
/// Called by nobody but the library's own initialisation in C.
#[no_mangle]
unsafe extern "C" fn ktcp_library_init() -> c_int {
    // SAFETY: This function is called once.
    unsafe {
        PLACES.init();
        LIBRARY.init();
    }
    match RawQueue::unbound(c"ktcp_server") {
        Ok(janitor) => {
            let folder = Dir::new(c"ktcp_server");
            with_library(|library| *library = Some(Library { janitor, folder }));
            0
        }
        Err(error) => error.to_errno(),
    }
}

/// Called once, when no module that uses the library is left.
#[no_mangle]
extern "C" fn ktcp_library_exit() {
    // The queue is taken out under the lock and drained behind it.
    let library = with_library(Option::take);
    drop(library);
    // Nobody drops a static: the room that the list once had would stay behind.
    let places = core::mem::replace(&mut *PLACES.lock(), Slots::new());
    drop(places);
}
