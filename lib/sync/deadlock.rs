// SPDX-License-Identifier: GPL-2.0

//! Detection of deadlocks between tasks that wait for each other.
//!
//! A handler may join a thread that drops the handler's server; two threads may join each other.
//! Safe code can close such a cycle, and then none of its tasks ends, nor does `rmmod`. So each
//! wait of a kernel thread or work item for code of a module is recorded here while it lasts, and a
//! wait that would close a cycle is refused.
//!
//! Waits by other means (a lock, a condition variable) are not recorded. A flush of a queue counts
//! as a wait for all of its items, including those queued later.

use crate::util::{
    error::EDEADLK,
    stack_list::{
        self,
        StackList, //
    }, //
};
use core::ptr;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        global_lock, //
    }, //
};

/// An identifier of a server, only for comparison.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServerId(usize);

impl ServerId {
    /// Identifies the server by the address of `own`, a value that only this server owns.
    pub(crate) fn of<T>(own: &T) -> Self {
        Self(ptr::from_ref(own).addr())
    }
}

/// A task that waits or is about to wait.
#[derive(Clone, Copy)]
pub(crate) struct Waiter {
    /// The address of its `task_struct`; only compared.
    pub(crate) task: usize,
    /// The server that this task is a thread of, or whose connection it polls.
    pub(crate) server: Option<ServerId>,
    /// True if the task is a worker of a workqueue.
    pub(crate) is_worker: bool,
}

/// A resource of the library that tasks wait for.
pub(crate) trait Awaited: Sync {
    /// Returns true if this resource cannot end before the task `waiter` continues. May sleep.
    fn depends_on(&self, waiter: Waiter) -> bool;
}

/// The target of the check is not known to depend on the waiter of this record.
const UNREACHED: u32 = 0;
/// The target depends on this waiter, whose own target is still to be checked.
const REACHED: u32 = 1;
/// The target depends on this waiter, whose own target is checked.
const SEEN: u32 = 2;

/// The record of a wait in progress.
///
/// # Invariants
///
/// `target` is valid as long as the record exists: [`wait_for`] borrows it.
struct WaitRecord {
    waiter: Waiter,
    target: *const dyn Awaited,
    /// `UNREACHED`, `REACHED` or `SEEN` in the current check. Accessed only under the lock.
    reached: Atomic<u32>,
}

// SAFETY: By the type invariant `target` is valid, and its referent is `Sync`.
unsafe impl Sync for WaitRecord {}

impl WaitRecord {
    fn depends_on(&self, waiter: Waiter) -> bool {
        // SAFETY: By the type invariant `target` is valid.
        unsafe { (*self.target).depends_on(waiter) }
    }
}

global_lock! {
    // SAFETY: Initialised by `init`, before any module can call the library.
    unsafe(uninit) static WAITS: Mutex<StackList<WaitRecord>> = StackList::new();
}

/// Initialises the list of waits, before any other function of this file is called.
///
/// # Safety
///
/// This is the first call.
pub(crate) unsafe fn init() {
    // SAFETY: By this function's contract.
    unsafe { WAITS.init() };
}

/// Returns true if `target` depends on `waiter`, directly or through tasks that wait for others.
///
/// Traverses the list once for each target that is reached. Mostly that is `target` alone.
fn would_deadlock(waits: &StackList<WaitRecord>, waiter: Waiter, target: &dyn Awaited) -> bool {
    if target.depends_on(waiter) {
        return true;
    }
    for wait in waits.iter() {
        wait.reached.store(UNREACHED, Relaxed);
    }
    let reach = |from: &dyn Fn(Waiter) -> bool| {
        for wait in waits.iter() {
            if wait.reached.load(Relaxed) == UNREACHED && from(wait.waiter) {
                wait.reached.store(REACHED, Relaxed);
            }
        }
    };
    reach(&|other| target.depends_on(other));
    while let Some(next) = waits
        .iter()
        .find(|wait| wait.reached.load(Relaxed) == REACHED)
    {
        next.reached.store(SEEN, Relaxed);
        if next.depends_on(waiter) {
            return true;
        }
        reach(&|other| next.depends_on(other));
    }
    false
}

/// Calls `block`, in which `waiter`, the current task, waits for `target`. `waiter` is `None` for a
/// task of user space: no resource of the library depends on one.
///
/// # Errors
///
/// `EDEADLK`, without a call of `block`, if `target` cannot end before the current task continues.
///
/// Sleeps.
pub(crate) fn wait_for<'a, R>(
    waiter: Option<Waiter>,
    target: &'a (dyn Awaited + 'a),
    block: impl FnOnce() -> R,
) -> Result<R> {
    let Some(waiter) = waiter else {
        return Ok(block());
    };
    // SAFETY: The types differ only in a lifetime.
    let erased = unsafe {
        core::mem::transmute::<*const (dyn Awaited + 'a), *const (dyn Awaited + 'static)>(target)
    };
    // INVARIANT: `target` is borrowed until this function returns, and the record does not outlive
    // the call.
    let wait = WaitRecord {
        waiter,
        target: erased,
        reached: Atomic::new(UNREACHED),
    };
    let check = |waits: &StackList<WaitRecord>, _: &WaitRecord| {
        if would_deadlock(waits, waiter, target) {
            Err(EDEADLK)
        } else {
            Ok(())
        }
    };
    stack_list::with(|| WAITS.lock(), wait, check, block)
}
