// SPDX-License-Identifier: GPL-2.0

//! The executors on which a program is tried.

use kernel::prelude::*;
use ktcp_server::{
    Executor,
    Text, //
};

/// An executor, and how it calls handlers.
pub(crate) struct Variant {
    /// The name of the server.
    pub(crate) name: &'static CStr,
    pub(crate) executor: Executor,
    /// Whether the handler may sleep.
    pub(crate) may_sleep: bool,
}

/// All of them.
pub(crate) const ALL: [Variant; 4] = [
    Variant {
        name: c"event_loop",
        executor: Executor::EventLoop,
        may_sleep: true,
    },
    Variant {
        name: c"workqueue",
        executor: Executor::Workqueue,
        may_sleep: true,
    },
    Variant {
        name: c"kthread",
        executor: Executor::Kthread,
        may_sleep: true,
    },
    Variant {
        name: c"softirq",
        executor: Executor::EventLoop,
        may_sleep: false,
    },
];

/// Those with this name, which is that of one or empty for all, with their number.
pub(crate) fn chosen(only: &Text<16>) -> impl Iterator<Item = (u16, &'static Variant)> + '_ {
    let is_wanted = |variant: &Variant| {
        only.as_str().is_empty() || only.as_str().as_bytes() == variant.name.to_bytes()
    };
    (0..)
        .zip(&ALL)
        .filter(move |(_, variant)| is_wanted(variant))
}
