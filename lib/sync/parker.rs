// SPDX-License-Identifier: GPL-2.0

//! Sleeping until there is something to do.
//!
//! C header: [`include/linux/sched.h`](srctree/include/linux/sched.h)

use crate::shim;
use kernel::{
    bindings,
    prelude::*,
    sync::{
        aref::ARef,
        SetOnce, //
    },
    task::Task, //
};

/// A place where one task sleeps and others wake it.
pub(crate) struct Parker {
    /// The sleeper, once it has come here.
    task: SetOnce<ARef<Task>>,
}

impl Parker {
    pub(crate) fn new() -> Self {
        Self {
            task: SetOnce::new(),
        }
    }

    /// Sleeps until `ready` returns true. `ready` must not sleep; it is asked again after each
    /// [`unpark`](Self::unpark). One task alone may call this on one `Parker`.
    pub(crate) fn park_until(&self, ready: impl Fn() -> bool) {
        if self.task.as_ref().is_none() {
            self.task.populate(ARef::from(&**current!()));
        }
        loop {
            // The state is set, with a full barrier, before the condition is looked at: who makes
            // it true after that finds a sleeper, and wakes it.
            // SAFETY: Either `schedule` or `ktcp_finish_park` follows.
            unsafe { shim::ktcp_prepare_to_park() };
            let done = ready();
            if !done {
                // SAFETY: Called by a task that may sleep, as the caller promises by calling.
                unsafe { bindings::schedule() };
            }
            // SAFETY: Always allowed for the current task.
            unsafe { shim::ktcp_finish_park() };
            if done {
                return;
            }
        }
    }

    /// Has the sleeper look at its condition again. The caller has made it true before, by an
    /// atomic operation with full ordering. Any context.
    pub(crate) fn unpark(&self) {
        // If the sleeper has not come yet, it will look at the condition first.
        if let Some(task) = self.task.as_ref() {
            task.wake_up();
        }
    }
}
