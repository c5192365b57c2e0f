// SPDX-License-Identifier: GPL-2.0

//! A channel for a single value, which one task computes and another waits for.

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

/// Progress of the value, whatever its type: whether it was sent, and which task computes it.
#[pin_data]
struct Progress {
    /// The task that computes the value, while it does; only compared.
    producer: Atomic<usize>,
    /// Opened when the value was sent, or when the sender was dropped without one.
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
    /// Written through the [`Sender`] before `sent` is opened, taken through the [`Receiver`]
    /// after.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: The two ends take turns at `value`, in the order that `sent` imposes, so that sharing
// amounts to sending a `T`.
unsafe impl<T: Send> Sync for Shared<T> {}

// SAFETY: It holds no more than a `T` and what may be used by any task.
unsafe impl<T: Send> Send for Shared<T> {}

/// The end of the task that computes the value. There is one.
pub(crate) struct Sender<T>(Arc<Shared<T>>);

/// The end of the task that waits for the value. There is one.
pub(crate) struct Receiver<T>(Arc<Shared<T>>);

/// Creates both ends. May sleep.
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
    /// Sends what `compute` returns.
    pub(crate) fn send_with(self, compute: impl FnOnce() -> T) {
        self.0
            .progress
            .producer
            .store(Task::current_raw().addr(), Relaxed);
        let value = compute();
        self.0.progress.producer.store(0, Relaxed);
        // SAFETY: `sent` is still closed: it is opened when `self` is dropped, of which there is
        // but one. So the receiver does not look at `value`.
        unsafe { *self.0.value.get() = Some(value) };
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.progress.sent.open();
    }
}

impl<T> Receiver<T> {
    /// Returns true if the value was sent, or never will be. Any context.
    pub(crate) fn is_sent(&self) -> bool {
        self.0.progress.sent.is_open()
    }

    /// Waits for the value as `waiter`, the current task. Returns `None` if it was never sent, or was taken
    /// before. Sleeps.
    ///
    /// # Errors
    ///
    /// `EDEADLK` when the task that computes it is the caller, or waits for the caller.
    pub(crate) fn take(&mut self, waiter: Option<Waiter>) -> Result<Option<T>> {
        let Progress { producer, sent } = &self.0.progress;
        if producer.load(Relaxed) == Task::current_raw().addr() {
            return Err(EDEADLK);
        }
        if !sent.is_open() {
            deadlock::wait_for(waiter, &self.0.progress, || sent.wait())?;
        }
        // SAFETY: `sent` is open, so that the sender is finished with `value`, and we have the
        // only other end, mutably.
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
