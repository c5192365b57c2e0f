// SPDX-License-Identifier: GPL-2.0

//! A channel for one value, which one task computes and another waits for.

use crate::{
    sync::{
        deadlock::{
            self,
            Awaited,
            Waiter, //
        },
        latch::Latch, //
    },
    util::error::EDEADLK, //
};
use core::cell::UnsafeCell;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc, //
    },
    task::Task, //
};

/// Progress of the value, independent of its type.
#[pin_data]
struct Progress {
    /// Address of the task that computes the value, 0 before and after; only compared.
    producer: Atomic<usize>,
    /// Opened when the sender is dropped, with or without having sent the value.
    #[pin]
    sent: Latch,
}

impl Awaited for Progress {
    fn depends_on(&self, waiter: Waiter) -> bool {
        self.producer.load(Relaxed) == waiter.task
    }
}

/// State that the two ends share.
#[pin_data]
struct Shared<T> {
    #[pin]
    progress: Progress,
    /// Written through the [`Sender`] before `sent` is opened, taken through the [`Receiver`] after
    /// that.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: `sent` orders the accesses of the two ends to `value`, so sharing amounts to sending a
// `T`.
unsafe impl<T: Send> Sync for Shared<T> {}

// SAFETY: Apart from a `T`, which is `Send`, all fields may be used by any task.
unsafe impl<T: Send> Send for Shared<T> {}

/// The producer's end of the channel. There is one.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// The consumer's end of the channel. There is one.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

/// Creates a channel. May sleep.
pub(crate) fn channel<T>() -> Result<(Sender<T>, Receiver<T>)> {
    let shared = Arc::pin_init(
        pin_init!(Shared {
            progress <- pin_init!(Progress {
                producer: Atomic::new(0),
                sent <- Latch::new(),
            }),
            value: UnsafeCell::new(None),
        }),
        GFP_KERNEL,
    )?;
    Ok((Sender(shared.clone()), Receiver(shared)))
}

impl<T> Sender<T> {
    /// Calls `compute` and sends its result.
    pub(crate) fn send_with(self, compute: impl FnOnce() -> T) {
        self.0
            .progress
            .producer
            .store(Task::current_raw().addr(), Relaxed);
        let value = compute();
        self.0.progress.producer.store(0, Relaxed);
        // SAFETY: `sent` is still closed: only the drop of `self`, the only sender, opens it. Until
        // then the receiver does not access `value`.
        unsafe { *self.0.value.get() = Some(value) };
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.progress.sent.open();
    }
}

impl<T> Receiver<T> {
    /// Returns true if the value was sent or never will be. Any context.
    pub(crate) fn is_sent(&self) -> bool {
        self.0.progress.sent.is_open()
    }

    /// Waits for the value as `waiter`, the current task, and takes it. Returns `None` if the
    /// sender was dropped without sending, or the value was already taken. Sleeps.
    ///
    /// # Errors
    ///
    /// `EDEADLK` if the task that computes the value is the caller, or waits for the caller.
    pub(crate) fn take(&mut self, waiter: Option<Waiter>) -> Result<Option<T>> {
        let Progress { producer, sent } = &self.0.progress;
        if producer.load(Relaxed) == Task::current_raw().addr() {
            return Err(EDEADLK);
        }
        if !sent.is_open() {
            deadlock::wait_for(waiter, &self.0.progress, || sent.wait())?;
        }
        // SAFETY: `sent` is open, so the sender no longer accesses `value`, and `&mut self` is the
        // only receiver.
        Ok(unsafe { (*self.0.value.get()).take() })
    }
}

#[cfg(CONFIG_KTCP_KUNIT_TEST)]
#[kunit_tests(ktcp_oneshot)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_was_sent_is_received_once() -> Result {
        let (sender, mut receiver) = channel()?;
        assert!(!receiver.is_sent());
        sender.send_with(|| 7);
        assert!(receiver.is_sent());
        assert_eq!(receiver.take(None), Ok(Some(7)));
        assert_eq!(receiver.take(None), Ok(None));
        Ok(())
    }

    #[test]
    fn a_sender_that_is_dropped_is_not_waited_for() -> Result {
        let (sender, mut receiver) = channel::<u8>()?;
        drop(sender);
        assert_eq!(receiver.take(None), Ok(None));
        Ok(())
    }

    #[test]
    fn a_task_that_waits_for_its_own_value_is_refused() -> Result {
        let (sender, mut receiver) = channel::<Result>()?;
        let mut taken = None;
        sender.send_with(|| {
            taken = Some(receiver.take(None));
            Ok(())
        });
        assert_eq!(taken, Some(Err(EDEADLK)));
        Ok(())
    }
}
