// SPDX-License-Identifier: GPL-2.0

//! The timers of a connection: a poll and a tick may note something at the same time.

use super::join;
use crate::{
    handler::CloseReason,
    timers::{
        Clock,
        Pending,
        Timeouts,
        Timers, //
    }, //
};
use kernel::{
    sync::Arc,
    time::Delta, //
};
use loom::thread;

/// Explores a model, which may have a single order of its steps: that is so where a poll and a tick write
/// to nothing together.
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// Has a poll that ends with `pending` and a tick that finds bytes acknowledged meet, where output was
/// pending before; returns the timeout that passes if nothing happens from then on.
fn passed_after(pending: Pending) -> Option<CloseReason> {
    let timeouts = Timeouts {
        send: Some(Delta::from_millis(1)),
        ..Timeouts::default()
    };
    let clock = Clock::new(&timeouts);
    let timers = Arc::new(Timers::new(clock.now()));
    let output = Pending {
        output: true,
        ..Pending::default()
    };
    timers.note(clock.now(), output);
    clock.advance();

    let (now, polled) = (clock.now(), timers.clone());
    let poll = thread::spawn(move || polled.note(now, pending));
    timers.note_acked(now);
    // As each tick does; with so few of them none has passed.
    assert_eq!(timers.expired(&clock, &timeouts), None);
    join([poll]);

    clock.advance();
    clock.advance();
    clock.advance();
    timers.expired(&clock, &timeouts)
}

#[test]
fn with_all_output_sent_no_timeout_passes() {
    explore(|| {
        let sent = Pending {
            sent: true,
            ..Pending::default()
        };
        assert_eq!(passed_after(sent), None);
    });
}

#[test]
fn with_output_left_the_timeout_passes() {
    explore(|| {
        let some_sent = Pending {
            sent: true,
            output: true,
            ..Pending::default()
        };
        assert_eq!(passed_after(some_sent), Some(CloseReason::SendTimeout));
    });
}
