// SPDX-License-Identifier: GPL-2.0

//! The library's own beginning and end.

use crate::{
    module::{
        cleanup,
        registry, //
    },
    sync::deadlock, //
};
use kernel::{
    debugfs::Dir,
    prelude::*,
    sync::global_lock, //
};

global_lock! {
    // SAFETY: Initialised by `ktcp_library_init`, before any module can call the library.
    unsafe(uninit) static FOLDER: Mutex<Option<Dir>> = None;
}

/// The folder in debugfs for the files of all servers. May sleep.
pub(crate) fn folder() -> Result<Dir> {
    FOLDER.lock().as_ref().cloned().ok_or(ENODEV)
}

/// Called once, before everything else.
///
/// # Safety
///
/// Called by the library's own initialisation in C alone.
#[no_mangle]
unsafe extern "C" fn ktcp_library_init() -> c_int {
    // SAFETY: This function is called once, and first.
    unsafe {
        registry::init();
        deadlock::init();
        FOLDER.init();
    }
    if let Err(error) = cleanup::init() {
        return error.to_errno();
    }
    *FOLDER.lock() = Some(Dir::new(c"ktcp_server"));
    0
}

/// Called once, when no module that uses the library is left.
///
/// # Safety
///
/// Called by the library's own exit in C alone, after `ktcp_library_init` has succeeded.
#[no_mangle]
unsafe extern "C" fn ktcp_library_exit() {
    // First: its items may still be the last to hold something of a server.
    // SAFETY: By this function's contract.
    unsafe { cleanup::exit() };
    let folder = FOLDER.lock().take();
    drop(folder);
    registry::exit();
}
