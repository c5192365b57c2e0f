// SPDX-License-Identifier: GPL-2.0

//! Identity of the task that polls a connection where it may sleep, and interruption of that task.

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

/// Added to the address of the task once it was interrupted. The alignment of a `task_struct`
/// leaves this bit free.
const INTERRUPTED: usize = 1;

/// The lock that a task holds while it interrupts another that polls for the same server.
pub(crate) type InterruptLock = SpinLock<()>;

/// The task that polls a connection where it may sleep.
///
/// # Invariants
///
/// `task` is 0, or the address of the task that is between [`enter`](Self::enter) and
/// [`leave`](Self::leave), with or without `INTERRUPTED`. If that task is a worker, this value
/// holds a reference to it: a worker whose handler panics exits without a `leave`. Any other task
/// that polls is a thread to which the server holds a reference.
pub(crate) struct Sleeper {
    task: Atomic<usize>,
}

impl Sleeper {
    pub(crate) const fn new() -> Self {
        // INVARIANT: No task polls yet.
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
        // INVARIANT: Only the task with the right to run comes here. If it is a worker, its
        // reference was just taken.
        self.task.store(Task::current_raw().addr(), Relaxed);
    }

    /// Ends the poll, and with it an interruption: later waits of the task do not fail. `lock` is
    /// that of the server.
    #[inline]
    pub(crate) fn leave(&self, lock: &InterruptLock) {
        let task = Task::current_raw().addr();
        // INVARIANT: No task polls any more.
        if self.task.cmpxchg(task, 0, Full).is_err() {
            self.leave_interrupted(lock);
        }
        if context::in_worker() {
            // SAFETY: `enter` took a reference to this task, and with `task` at 0 nothing uses that
            // any more.
            unsafe { bindings::put_task_struct(Task::current_raw()) };
        }
    }

    #[cold]
    fn leave_interrupted(&self, lock: &InterruptLock) {
        // The interrupting task uses this one only while it holds the lock.
        let _interrupting = lock.lock();
        // SAFETY: Changes a flag of the current task.
        unsafe { shim::ktcp_clear_interrupt() };
        // INVARIANT: No task polls any more.
        self.task.store(0, Relaxed);
    }

    /// Returns true if `task` polls the connection.
    pub(crate) fn is(&self, task: usize) -> bool {
        self.task.load(Relaxed) & !INTERRUPTED == task
    }

    /// Interrupts the task that polls, if there is one: until the poll ends, its waits that signals
    /// can interrupt fail. `lock` is that of the server.
    pub(crate) fn interrupt(&self, lock: &InterruptLock) {
        let _interrupting = lock.lock();
        let task = self.task.load(Relaxed);
        if task == 0 || task & INTERRUPTED != 0 {
            return;
        }
        // INVARIANT: If the exchange succeeds, the task is still before its `leave`, which takes
        // the lock.
        if self.task.cmpxchg(task, task | INTERRUPTED, Full).is_ok() {
            // SAFETY: By the type invariants a reference keeps the task alive, and `leave` takes
            // the lock before it gives that reference up. The address is that of `current`, which
            // came from C.
            unsafe { shim::ktcp_interrupt_kthread(core::ptr::with_exposed_provenance_mut(task)) };
        }
    }
}
