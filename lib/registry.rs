// SPDX-License-Identifier: GPL-2.0

//! All servers there are, so that none outlives the module whose code it runs.
//!
//! Dropping a [`KernelTcpServer`](crate::KernelTcpServer) stops the server, but safe code may leak
//! the value, or drop it where the server cannot be waited for: in a method of its own handler. So
//! each server is listed here, with its module. When a module goes, what is left of its servers is
//! stopped before the memory of its code is freed.

use crate::{
    latch::Latch,
    service::Server,
    slots::Slots,
    workqueue::OwnedQueue, //
};
use kernel::{
    bindings,
    debugfs::Dir,
    impl_has_work,
    new_mutex,
    new_work,
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
        Work,
        WorkItem, //
    }, //
};

/// A server in the list.
#[pin_data]
pub(crate) struct Entry {
    name: &'static CStr,
    /// Only compared.
    module: usize,
    number: SetOnce<usize>,
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

global_lock! {
    // SAFETY: Initialised by `ktcp_library_init`, before any module can call the library.
    unsafe(uninit) static ENTRIES: Mutex<Slots<Arc<Entry>>> = Slots::new();
}

/// What the library has for all servers.
struct Library {
    /// Does what those who must not wait have left to be done.
    janitor: OwnedQueue,
    /// The folder for what is seen of the servers.
    folder: Dir,
}

global_lock! {
    // SAFETY: Initialised by `ktcp_library_init`, before any module can call the library.
    unsafe(uninit) static LIBRARY: Mutex<Option<Library>> = None;
}

impl Entry {
    /// Lists a server of `module` that `start` starts, given a place for its files. When it cannot
    /// be started it is not listed. May sleep.
    pub(crate) fn new(
        name: &'static CStr,
        module: &'static ThisModule,
        start: impl FnOnce((&Dir, &CStr)) -> Result<Server>,
    ) -> Result<Arc<Self>> {
        let entry = Arc::pin_init(
            pin_init!(Self {
                name,
                module: module.as_ptr().addr(),
                number: SetOnce::new(),
                running <- new_mutex!(None),
                stopped <- Latch::new(),
                work <- new_work!("ktcp_server::Entry"),
            }),
            GFP_KERNEL,
        )?;
        let mut entries = ENTRIES.lock();
        let first = !entries.iter().any(|other| other.name == name);
        entries.add(|number| {
            entry.number.populate(number);
            Ok(entry.clone())
        })?;
        drop(entries);

        match entry.start(first, start) {
            Ok(running) => {
                *entry.running.lock() = Some(running);
                Ok(entry)
            }
            Err(error) => {
                entry.unlist();
                Err(error)
            }
        }
    }

    /// Calls `start` with a place for the files of the server: in a folder of its name, to which its
    /// number is added unless it is the first of that name.
    fn start(
        &self,
        first: bool,
        start: impl FnOnce((&Dir, &CStr)) -> Result<Server>,
    ) -> Result<Server> {
        let folder = match &*LIBRARY.lock() {
            Some(library) => library.folder.clone(),
            None => return Err(ENODEV),
        };
        let name = self.name;
        if first {
            return start((&folder, name));
        }
        let number = self.number.copy().unwrap_or_default();
        start((&folder, &*CString::try_from_fmt(fmt!("{name}.{number}"))?))
    }

    fn unlist(&self) {
        if let Some(number) = self.number.copy() {
            ENTRIES.lock().remove(number);
        }
    }

    /// Stops the server unless someone else does, and returns when no code of its module runs any
    /// more. From a thread of the server itself, it only begins to stop. Sleeps.
    pub(crate) fn close(self: &Arc<Self>, within: Option<Delta>) {
        let own = match &*self.running.lock() {
            Some(running) if running.runs_current() => {
                running.begin_stop();
                true
            }
            _ => false,
        };
        if own {
            if let Some(library) = &*LIBRARY.lock() {
                // It may be queued only once, for it is closed only once.
                let _ = library.janitor.enqueue(self.clone());
            }
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

/// Stops what is left of the servers of `module`, which is about to be freed.
#[no_mangle]
extern "C" fn ktcp_module_going(module: *mut bindings::module) {
    loop {
        let left = ENTRIES
            .lock()
            .iter()
            .find(|entry| entry.module == module.addr())
            .cloned();
        let Some(entry) = left else {
            return;
        };
        pr_warn!(
            "{}: the module goes without having dropped its server: stopping it\n",
            entry.name
        );
        entry.stop(None);
        entry.stopped.wait();
    }
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
        ENTRIES.init();
        LIBRARY.init();
    }
    match OwnedQueue::unbound(c"ktcp_server") {
        Ok(janitor) => {
            let folder = Dir::new(c"ktcp_server");
            *LIBRARY.lock() = Some(Library { janitor, folder });
            0
        }
        Err(error) => error.to_errno(),
    }
}

/// Called once, when no module that uses the library is left.
#[no_mangle]
extern "C" fn ktcp_library_exit() {
    // The queue is taken out under the lock and drained behind it.
    let library = LIBRARY.lock().take();
    drop(library);
}
