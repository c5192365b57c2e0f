// SPDX-License-Identifier: GPL-2.0

//! Models of the library's lock-free parts.
//!
//! The modules with a path are the library's own files, compiled against stand-ins for `kernel` and
//! `core`. Each model runs in every order of the steps of its threads, up to a number of
//! preemptions, and with every old value that the memory model lets a load see.

#![cfg(test)]

extern crate core_model as core;

#[path = "../../../lib/connection/state.rs"]
mod state;
#[expect(
    dead_code,
    reason = "a list of connections shows more than the models look at"
)]
#[path = "../../../lib/connection/timers.rs"]
mod timers;

mod handler;
mod models;
mod shim;
mod sync;
mod util;
