// SPDX-License-Identifier: GPL-2.0

//! Functions and structs of C.

use loom::{
    cell::UnsafeCell,
    sync::{
        atomic::{
            AtomicBool,
            Ordering, //
        },
        Condvar,
        Mutex, //
    }, //
};

/// `schedule()`
///
/// # Safety
///
/// None here.
pub unsafe fn schedule() {
    crate::task::current().schedule();
}

/// `struct completion`, as `kernel/sched/completion.c` uses it.
#[expect(non_camel_case_types, reason = "the name of C")]
pub struct completion {
    done: AtomicBool,
    lock: Mutex<()>,
    waiters: Condvar,
    /// Read by each access to the struct, and written when it is freed.
    memory: UnsafeCell<()>,
}

impl Drop for completion {
    fn drop(&mut self) {
        // Not on the way out of a model that has failed
        if !std::thread::panicking() {
            self.memory.with_mut(|_| ());
        }
    }
}

/// # Safety
///
/// `x` is memory for a completion.
pub unsafe fn init_completion(x: *mut completion) {
    let new = completion {
        done: AtomicBool::new(false),
        lock: Mutex::new(()),
        waiters: Condvar::new(),
        memory: UnsafeCell::new(()),
    };
    // SAFETY: By this function's contract.
    unsafe { x.write(new) }
}

/// # Safety
///
/// `x` was initialised by `init_completion`. The model checks that it was not freed.
pub unsafe fn complete_all(x: *mut completion) {
    // SAFETY: By this function's contract; the model frees no memory.
    let x = unsafe { &*x };
    x.memory.with(|_| ());
    let lock = x.lock.lock().unwrap();
    x.done.store(true, Ordering::Relaxed);
    x.waiters.notify_all();
    // Unlocking is the last access: the task that frees the struct must be ordered after it.
    x.memory.with(|_| ());
    drop(lock);
}

/// # Safety
///
/// As for [`complete_all`].
pub unsafe fn completion_done(x: *mut completion) -> bool {
    // SAFETY: As in `complete_all`.
    let x = unsafe { &*x };
    x.memory.with(|_| ());
    if !x.done.load(Ordering::Relaxed) {
        return false;
    }
    drop(x.lock.lock().unwrap());
    true
}

/// Returns 0 at once if the timeout is 0. Otherwise waits until the completion is done: in a model,
/// no time passes.
///
/// # Safety
///
/// As for [`complete_all`].
pub unsafe fn wait_for_completion_timeout(x: *mut completion, timeout: usize) -> usize {
    // SAFETY: As in `complete_all`.
    let x = unsafe { &*x };
    x.memory.with(|_| ());
    let mut lock = x.lock.lock().unwrap();
    while !x.done.load(Ordering::Relaxed) {
        if timeout == 0 {
            return 0;
        }
        lock = x.waiters.wait(lock).unwrap();
    }
    drop(lock);
    timeout.max(1)
}
