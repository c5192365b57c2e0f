// SPDX-License-Identifier: GPL-2.0

//! The parker: the sleeper sees every condition that was true before `unpark`.

use super::{
    explore,
    join, //
};
use crate::sync::parker::Parker;
use kernel::sync::{
    atomic::{
        Atomic,
        Full,
        Relaxed, //
    },
    Arc, //
};
use loom::thread;

/// A parker, and a count of the events for which its task waits.
struct Shared {
    parker: Parker,
    events: Atomic<u32>,
}

impl Shared {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            parker: Parker::new(),
            events: Atomic::new(0),
        })
    }

    fn happen(&self) {
        let mut events = self.events.load(Relaxed);
        while let Err(changed) = self.events.cmpxchg(events, events + 1, Full) {
            events = changed;
        }
        self.parker.unpark();
    }

    fn wait_for(&self, events: u32) {
        self.parker
            .park_until(|| self.events.load(Relaxed) >= events);
        assert!(self.events.load(Relaxed) >= events);
    }
}

#[test]
fn it_wakes() {
    explore(5, || {
        let shared = Shared::new();
        let other = shared.clone();
        let waker = thread::spawn(move || other.happen());
        shared.wait_for(1);
        waker.join().unwrap();
    });
}

#[test]
fn it_wakes_again() {
    explore(3, || {
        let shared = Shared::new();
        let other = shared.clone();
        let waker = thread::spawn(move || {
            other.happen();
            other.happen();
        });
        shared.wait_for(1);
        shared.wait_for(2);
        waker.join().unwrap();
    });
}

#[test]
fn it_wakes_for_the_last_of_many() {
    explore(2, || {
        let shared = Shared::new();
        let wakers = [(); 2].map(|()| {
            let shared = shared.clone();
            thread::spawn(move || shared.happen())
        });
        shared.wait_for(2);
        join(wakers);
    });
}
