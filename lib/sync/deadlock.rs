// SPDX-License-Identifier: GPL-2.0

//! Detection of tasks that wait for each other.
//!
//! A handler may join a thread that drops the handler's server, two threads may join each other: safe
//! code can close such a circle, and no task in it would ever go on, nor would `rmmod`. So each wait of
//! a kernel thread or work item for something that runs code of a module is noted here for as long as
//! it lasts, and one that would close a circle is refused.
//!
//! What code of modules waits for by other means (a lock, a condition variable) is not seen. A queue that
//! is flushed counts as waiting for all of its items, those that were queued later as well.

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

/// A server, to be compared with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServerId(usize);

impl ServerId {
    /// The server that has this value, which no other has at the same time.
    pub(crate) fn of<T>(own: &T) -> Self {
        Self(ptr::from_ref(own).addr())
    }
}

/// A task that waits, or is about to.
#[derive(Clone, Copy)]
pub(crate) struct Waiter {
    /// Only compared.
    pub(crate) task: usize,
    /// The server of which it is a thread, or whose connection it polls.
    pub(crate) server: Option<ServerId>,
    /// True if it runs items of workqueues.
    pub(crate) is_worker: bool,
}

/// Something of the library that tasks wait for.
pub(crate) trait Awaited: Sync {
    /// Returns true if this cannot end before that task goes on. May sleep.
    fn depends_on(&self, waiter: Waiter) -> bool;
}

/// Not known to be depended on.
const UNREACHED: u32 = 0;
/// Depended on, and what it depends on itself is still to be looked at.
const REACHED: u32 = 1;
/// Depended on, and looked at.
const SEEN: u32 = 2;

/// A wait that lasts.
///
/// # Invariants
///
/// `target` is there as long as this is: [`wait_for`] borrows it.
struct WaitRecord {
    waiter: Waiter,
    target: *const dyn Awaited,
    /// Whether what is asked for depends on it: one of the constants above. Used under the lock.
    reached: Atomic<u32>,
}

// SAFETY: What `target` points to is `Sync`, and by the type invariant it is there.
unsafe impl Sync for WaitRecord {}

impl WaitRecord {
    fn depends_on(&self, waiter: Waiter) -> bool {
        // SAFETY: By the type invariant it is there.
        unsafe { (*self.target).depends_on(waiter) }
    }
}

global_lock! {
    // SAFETY: Initialised by `init`, before any module can call the library.
    unsafe(uninit) static WAITS: Mutex<StackList<WaitRecord>> = StackList::new();
}

/// Called once, before everything else.
///
/// # Safety
///
/// This is the first call.
pub(crate) unsafe fn init() {
    // SAFETY: By this function's contract.
    unsafe { WAITS.init() };
}

/// Returns true if `target`, or what it depends on by way of tasks that wait, depends on `waiter`.
///
/// Looks at each wait once for each target that is reached: mostly that is `target` alone.
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

/// Calls `block`, with which `waiter`, the current task, waits for `target`. A task of user space, on
/// which nothing of the library depends, is no waiter.
///
/// # Errors
///
/// `EDEADLK`, without calling it, when `target` could not end before the current task goes on.
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
    // SAFETY: Only the lifetime differs.
    let erased = unsafe {
        core::mem::transmute::<*const (dyn Awaited + 'a), *const (dyn Awaited + 'static)>(target)
    };
    // INVARIANT: It is there until this function returns, and is borrowed for as long.
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
