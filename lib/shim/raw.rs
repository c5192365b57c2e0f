// SPDX-License-Identifier: GPL-2.0

//! Structs that C and Rust share.

use crate::shim::layout::assert_layout;
use kernel::{
    bindings,
    prelude::*, //
};

/// `struct ktcp_stat` of `shim/shim.h`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct RawStat {
    pub(crate) size: u64,
    pub(crate) inode: u64,
    pub(crate) modified_seconds: i64,
    pub(crate) changed_seconds: i64,
    pub(crate) change_cookie: u64,
    pub(crate) modified_nanos: u32,
    pub(crate) changed_nanos: u32,
    pub(crate) device: u32,
    pub(crate) mode: u32,
    pub(crate) generation: u32,
}

assert_layout!(
    RawStat,
    ktcp_stat,
    [
        size,
        inode,
        modified_seconds,
        changed_seconds,
        change_cookie,
        modified_nanos,
        changed_nanos,
        device,
        mode,
        generation,
    ]
);

type Callback = Option<unsafe extern "C" fn(*mut bindings::sock)>;

/// `struct ktcp_watch` of `shim/shim.h`.
#[repr(C)]
pub(crate) struct RawWatch {
    pub(crate) event: unsafe extern "C" fn(*const c_void),
    pub(crate) data: *const c_void,
    pub(crate) data_ready: Callback,
    pub(crate) write_space: Callback,
    pub(crate) state_change: Callback,
}

assert_layout!(
    RawWatch,
    ktcp_watch,
    [event, data, data_ready, write_space, state_change]
);

/// `struct ktcp_pollers` of `shim/poller.c`.
#[repr(C)]
pub(crate) struct RawPollers {
    _opaque: [u8; 0],
}
