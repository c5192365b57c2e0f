// SPDX-License-Identifier: GPL-2.0

//! Initialisation and exit of the library.

use crate::{
    module::{
        cleanup,
        debugfs::Dir,
        registry, //
    },
    sync::deadlock, //
};
use kernel::{
    prelude::*,
    sync::{
        global_lock,
        Arc, //
    }, //
};

global_lock! {
    // SAFETY: Initialised by `ktcp_library_init`, before any module can call the library.
    unsafe(uninit) static FOLDER: Mutex<Option<Arc<Dir>>> = None;
}

/// Returns the folder in debugfs that holds the files of all servers. May sleep.
pub(crate) fn folder() -> Result<Arc<Dir>> {
    FOLDER.lock().as_ref().cloned().ok_or(ENODEV)
}

/// Initialises the library. Called once, before any other of its functions.
///
/// # Safety
///
/// Only the library's initialisation in C calls this.
#[no_mangle]
unsafe extern "C" fn ktcp_library_init() -> c_int {
    // SAFETY: This function is called once, before any other.
    unsafe {
        registry::init();
        deadlock::init();
        FOLDER.init();
    }
    if let Err(error) = cleanup::init() {
        return error.to_errno();
    }
    match Arc::new(Dir::new(c"ktcp_server", None), GFP_KERNEL) {
        Ok(folder) => {
            *FOLDER.lock() = Some(folder);
            0
        }
        Err(_) => {
            // SAFETY: No module can call the library yet.
            unsafe { cleanup::exit() };
            ENOMEM.to_errno()
        }
    }
}

/// Releases all that the library holds. Called once, when no module that uses the library is left.
///
/// # Safety
///
/// Only the library's exit in C calls this, after `ktcp_library_init` has succeeded.
#[no_mangle]
unsafe extern "C" fn ktcp_library_exit() {
    // Goes first: its items may hold the last references to parts of a server.
    // SAFETY: By this function's contract.
    unsafe { cleanup::exit() };
    let folder = FOLDER.lock().take();
    drop(folder);
    registry::exit();
}
