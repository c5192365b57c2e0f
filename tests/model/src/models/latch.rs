// SPDX-License-Identifier: GPL-2.0

//! The latch: writes before its opening are visible, waiting ends, and an open latch can be freed.

use super::{
    explore,
    join, //
};
use crate::{
    sync::latch::Latch,
    sync::parker::Parker, //
};
use kernel::{
    init::PinInit,
    task::Task,
    time::Delta, //
};
use loom::{
    cell::UnsafeCell,
    thread, //
};
use std::{
    mem::ManuallyDrop,
    sync::Arc, //
};

/// A latch that one task frees while others know of it, and the data that it guards.
struct Shared {
    /// Dropped where the memory of the latch would be freed. The memory itself stays until no
    /// thread refers to it.
    latch: UnsafeCell<ManuallyDrop<Latch>>,
    /// Written before the latch is opened.
    result: UnsafeCell<usize>,
    parker: Parker,
}

// SAFETY: loom checks the accesses to `result`, and to the fields of the latch when it is freed.
unsafe impl Sync for Shared {}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            latch: UnsafeCell::new(ManuallyDrop::new(PinInit::make(Latch::new()))),
            result: UnsafeCell::new(0),
            parker: Parker::new(),
        })
    }

    fn latch(&self) -> &Latch {
        // SAFETY: The memory is valid as long as `self`.
        self.latch.with(|latch| unsafe { &**latch })
    }

    fn open(&self) {
        // SAFETY: The latch is closed.
        self.result.with_mut(|result| unsafe { *result = 1 });
        self.latch().open();
    }

    fn check(&self) {
        // SAFETY: The latch is open.
        let result = self.result.with(|result| unsafe { *result });
        assert_eq!(result, 1);
    }

    /// Frees the latch. The model fails if another thread uses the latch after that, or has used it
    /// without being ordered before.
    fn free(&self) {
        let latch: *const Latch = self.latch();
        // SAFETY: No thread uses the latch after this, or the model fails.
        unsafe { latch.cast_mut().drop_in_place() };
    }
}

/// Opens a latch in another thread while this one calls `wait`.
fn with_opener(wait: impl Fn(&Shared) + Send + Sync + 'static) {
    explore(4, move || {
        let shared = Shared::new();
        let other = shared.clone();
        let opener = thread::spawn(move || other.open());
        wait(&shared);
        opener.join().unwrap();
    });
}

#[test]
fn waiting_ends_and_the_latch_can_be_freed() {
    with_opener(|shared| {
        shared.latch().wait();
        shared.check();
        assert!(shared.latch().is_opening());
        shared.free();
    });
}

#[test]
fn an_open_one_can_be_freed() {
    with_opener(|shared| {
        if shared.latch().is_open() {
            shared.check();
            assert!(shared.latch().is_opening());
            shared.free();
        }
    });
}

#[test]
fn a_wait_without_time_tells_of_an_open_one() {
    with_opener(|shared| {
        if shared.latch().wait_timeout(Delta::ZERO) {
            shared.check();
            shared.free();
        }
    });
}

#[test]
fn what_came_before_is_visible_where_it_is_opened() {
    with_opener(|shared| {
        if shared.latch().is_opening() {
            shared.check();
        }
    });
}

#[test]
fn all_that_wait_go_on() {
    explore(2, || {
        let shared = Shared::new();
        let waiters = [(); 2].map(|()| {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.latch().wait();
                shared.check();
            })
        });
        shared.open();
        join(waiters);
        shared.free();
    });
}

/// Models the stop of an event loop. Opening is no full barrier, so a task that parks for the first
/// time may miss both; the drop of a thread's handle wakes it once more.
#[test]
fn a_parked_task_sees_that_it_is_open() {
    explore(3, || {
        let shared = Shared::new();
        let task = Task::new();
        let (other, same) = (shared.clone(), task.clone());
        let executor = thread::spawn(move || {
            same.run_here();
            other.parker.park_until(|| other.latch().is_open());
            other.check();
        });
        shared.open();
        shared.parker.unpark();
        task.wake_up();
        executor.join().unwrap();
    });
}
