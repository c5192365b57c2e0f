// SPDX-License-Identifier: GPL-2.0

//! Tasks that sleep and are woken as in the kernel.
//!
//! See `set_current_state()` in `include/linux/sched.h` and `try_to_wake_up()` in
//! `kernel/sched/core.c`. A wake-up leaves nothing behind: it changes the state of a task that is
//! about to sleep or sleeps, and is lost on any other.

use loom::sync::{
    atomic::{
        fence,
        AtomicBool,
        Ordering, //
    },
    Condvar,
    Mutex, //
};
use std::{
    cell::RefCell,
    ops::Deref,
    sync::Arc, //
};

struct Inner {
    /// True if the state is `TASK_IDLE`, false if it is `TASK_RUNNING`.
    idle: AtomicBool,
    /// Stands for the locks of the task and of its run queue.
    lock: Mutex<()>,
    woken: Condvar,
}

/// A task of the kernel, which is a thread of the model.
#[derive(Clone)]
pub struct Task(Arc<Inner>);

impl Task {
    /// Makes a task, which a thread takes on by [`run_here`](Self::run_here).
    #[expect(clippy::new_without_default, reason = "a task is no value")]
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            idle: AtomicBool::new(false),
            lock: Mutex::new(()),
            woken: Condvar::new(),
        }))
    }

    /// Makes it the current task of this thread.
    pub fn run_here(&self) {
        CURRENT.with(|current| *current.borrow_mut() = self.clone());
    }

    /// Wakes the task if it sleeps or is about to.
    pub fn wake_up(&self) {
        let lock = self.0.lock.lock().unwrap();
        // smp_mb__after_spinlock()
        fence(Ordering::SeqCst);
        if self.0.idle.load(Ordering::Relaxed) {
            self.0.idle.store(false, Ordering::Relaxed);
            self.0.woken.notify_one();
        }
        drop(lock);
    }

    /// `set_current_state(TASK_IDLE)`
    pub fn prepare_to_sleep(&self) {
        self.0.idle.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// `__set_current_state(TASK_RUNNING)`
    pub fn stay_awake(&self) {
        self.0.idle.store(false, Ordering::Relaxed);
    }

    /// `schedule()`
    pub fn schedule(&self) {
        let mut lock = self.0.lock.lock().unwrap();
        while self.0.idle.load(Ordering::Relaxed) {
            lock = self.0.woken.wait(lock).unwrap();
        }
    }
}

loom::thread_local! {
    static CURRENT: RefCell<Task> = RefCell::new(Task::new());
}

/// The task that runs, as [`current!`](crate::current) finds it.
pub struct CurrentTask(Task);

impl Deref for CurrentTask {
    type Target = Task;

    fn deref(&self) -> &Task {
        &self.0
    }
}

/// Returns the task that runs.
pub fn current() -> CurrentTask {
    CURRENT.with(|task| CurrentTask(task.borrow().clone()))
}

/// The task that runs.
#[macro_export]
macro_rules! current {
    () => {
        &$crate::task::current()
    };
}
