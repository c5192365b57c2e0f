// SPDX-License-Identifier: GPL-2.0

//! The models, and the exploration of their interleavings.

mod connection;
mod latch;
mod parker;
mod run_queue;
mod timers;

use loom::thread::JoinHandle;
use std::sync::{
    atomic::{
        AtomicUsize,
        Ordering, //
    },
    Arc, //
};

/// Waits for the threads of a model.
fn join<const N: usize>(threads: [JoinHandle<()>; N]) {
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Explores a model with at most `preemptions` preemptions in each run. Prints the number of runs.
fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        model();
    });
    let runs = runs.load(Ordering::Relaxed);
    println!("{runs} runs");
    assert!(runs > 1, "there was nothing to explore");
}
