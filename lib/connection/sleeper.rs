// SPDX-License-Identifier: GPL-2.0

//! The task that polls a connection where it may sleep: to be recognised, and to be interrupted.

use crate::{
    shim,
    sync::context, //
};
use kernel::{
    bindings,
    sync::{
        atomic::{
            Atomic,
            Full,
            Relaxed, //
        },
        SpinLock, //
    },
    task::Task, //
};

/// Added to the task when it was interrupted. A `task_struct` is aligned to more than that.
const INTERRUPTED: usize = 1;

/// The lock under which the tasks of a server's connections are interrupted.
pub(crate) type InterruptLock = SpinLock<()>;

/// The task that polls a connection where it may sleep.
///
/// # Invariants
///
/// `task` is 0, or the task that is between [`enter`](Self::enter) and [`leave`](Self::leave), with or
/// without `INTERRUPTED`. Of a worker this value has a reference meanwhile: one whose handler panics
/// exits and never leaves. The other tasks that poll are threads, of which the server has references.
pub(crate) struct Sleeper {
    task: Atomic<usize>,
}

impl Sleeper {
    pub(crate) const fn new() -> Self {
        // INVARIANT: There is none.
        Self {
            task: Atomic::new(0),
        }
    }

    /// Begins a poll by the current task, which has the right to run.
    #[inline]
    pub(crate) fn enter(&self) {
        if context::in_worker() {
            // SAFETY: The current task is valid.
            unsafe { bindings::get_task_struct(Task::current_raw()) };
        }
        // INVARIANT: The right to run makes it the only one, and a worker has its reference.
        self.task.store(Task::current_raw().addr(), Relaxed);
    }

    /// Ends that poll, and with it an interruption: the next wait of the task is a wait again. `lock`
    /// is that of the server.
    #[inline]
    pub(crate) fn leave(&self, lock: &InterruptLock) {
        let task = Task::current_raw().addr();
        // INVARIANT: There is none any more.
        if self.task.cmpxchg(task, 0, Full).is_err() {
            self.leave_interrupted(lock);
        }
        if context::in_worker() {
            // SAFETY: `enter` took a reference of this task, and by the type invariant it is not used any
            // more.
            unsafe { bindings::put_task_struct(Task::current_raw()) };
        }
    }

    #[cold]
    fn leave_interrupted(&self, lock: &InterruptLock) {
        // Whatever has interrupted this task is done with it when it has let go of the lock.
        let _interrupting = lock.lock();
        // SAFETY: Changes a flag of the current task.
        unsafe { shim::ktcp_clear_interrupt() };
        // INVARIANT: There is none any more.
        self.task.store(0, Relaxed);
    }

    /// Returns true if that task polls.
    pub(crate) fn is(&self, task: usize) -> bool {
        self.task.load(Relaxed) & !INTERRUPTED == task
    }

    /// Has what the task waits for fail, and whatever else it waits for during this poll, if it can be
    /// interrupted by signals. `lock` is that of the server.
    pub(crate) fn interrupt(&self, lock: &InterruptLock) {
        let _interrupting = lock.lock();
        let task = self.task.load(Relaxed);
        if task == 0 || task & INTERRUPTED != 0 {
            return;
        }
        // INVARIANT: If the exchange succeeds the task has not left, and takes the lock before it does.
        if self.task.cmpxchg(task, task | INTERRUPTED, Full).is_ok() {
            // SAFETY: By the type invariants there is a reference of the task, which it gives up behind the
            // lock only. The address is that of `current`, which C has given out.
            unsafe { shim::ktcp_interrupt_kthread(core::ptr::with_exposed_provenance_mut(task)) };
        }
    }
}
