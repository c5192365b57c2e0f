// SPDX-License-Identifier: GPL-2.0

//! A place to sleep until a condition is true.
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

/// A place where one task sleeps and other tasks wake it.
pub(crate) struct Parker {
    /// The sleeper; set by its first call of `park_until`.
    task: SetOnce<ARef<Task>>,
}

impl Parker {
    pub(crate) fn new() -> Self {
        Self {
            task: SetOnce::new(),
        }
    }

    /// Sleeps until `ready` returns true. `ready` must not sleep; it is called again after each
    /// [`unpark`](Self::unpark). Only one task may call this on a given `Parker`.
    pub(crate) fn park_until(&self, ready: impl Fn() -> bool) {
        if self.task.as_ref().is_none() {
            self.task.populate(ARef::from(&**current!()));
        }
        loop {
            // The task state is set, with a full barrier, before the condition is checked. So a
            // task that makes the condition true after the check finds a sleeper, and wakes it.
            // SAFETY: `ktcp_finish_park` follows, after `schedule` unless the condition is true.
            unsafe { shim::ktcp_prepare_to_park() };
            let done = ready();
            if !done {
                // SAFETY: Callers of this function may sleep.
                unsafe { bindings::schedule() };
            }
            // SAFETY: The function only sets the state of the current task.
            unsafe { shim::ktcp_finish_park() };
            if done {
                return;
            }
        }
    }

    /// Wakes the sleeper to check its condition again. Any context.
    ///
    /// The caller must have made the condition true before, by an atomic operation with full
    /// ordering.
    pub(crate) fn unpark(&self) {
        // If no task has parked yet, the first one to park checks the condition before it sleeps.
        if let Some(task) = self.task.as_ref() {
            task.wake_up();
        }
    }
}

#[cfg(CONFIG_KTCP_KUNIT_TEST)]
#[kunit_tests(ktcp_parker)]
mod tests {
    use super::*;
    use core::cell::Cell;

    #[test]
    fn a_task_that_is_parked_is_idle() {
        let state = Cell::new(0);
        let parker = Parker::new();
        parker.park_until(|| {
            // SAFETY: The current task is there. What it is asked last is in which state it would sleep.
            state.set(unsafe { (&raw const (*Task::current_raw()).__state).read_volatile() });
            true
        });
        assert_eq!(state.get() & bindings::TASK_IDLE, bindings::TASK_IDLE);
    }
}
