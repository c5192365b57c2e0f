// SPDX-License-Identifier: GPL-2.0

//! A value that one task makes and another waits for.

use crate::{
    deadlock::{
        self,
        Awaited,
        Waiter, //
    },
    error::EDEADLK,
    latch::Latch, //
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

/// Whether the value is there, and which task it depends on.
#[pin_data]
struct Progress {
    /// The task that makes the value, while it does; only compared.
    maker: Atomic<usize>,
    /// Opened when the value is there, or never will be.
    #[pin]
    settled: Latch,
}

impl Awaited for Progress {
    fn depends_on(&self, waiter: Waiter) -> bool {
        self.maker.load(Relaxed) == waiter.task
    }
}

/// What the two ends share.
#[pin_data]
struct Outcome<T> {
    #[pin]
    progress: Progress,
    /// Written through the [`Promise`] before `settled` is opened, taken through the [`Expected`]
    /// after.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: The two ends take turns at `value`, in the order that `settled` imposes, so that sharing
// amounts to sending a `T`.
unsafe impl<T: Send> Sync for Outcome<T> {}

// SAFETY: It holds no more than a `T` and what may be used by any task.
unsafe impl<T: Send> Send for Outcome<T> {}

/// The end of whoever makes the value. There is one.
pub(crate) struct Promise<T>(Arc<Outcome<T>>);

/// The end of whoever waits for the value. There is one.
pub(crate) struct Expected<T>(Arc<Outcome<T>>);

/// Both ends. May sleep.
pub(crate) fn pair<T>() -> Result<(Promise<T>, Expected<T>)> {
    let outcome = Arc::pin_init(
        pin_init!(Outcome {
            progress <- pin_init!(Progress {
                maker: Atomic::new(0),
                settled <- Latch::new(),
            }),
            value: UnsafeCell::new(None),
        }),
        GFP_KERNEL,
    )?;
    Ok((Promise(outcome.clone()), Expected(outcome)))
}

impl<T> Promise<T> {
    /// Keeps the promise with what `make` returns.
    pub(crate) fn keep(self, make: impl FnOnce() -> T) {
        self.0
            .progress
            .maker
            .store(Task::current_raw().addr(), Relaxed);
        let value = make();
        self.0.progress.maker.store(0, Relaxed);
        // SAFETY: `settled` is still closed: it is opened when `self` is dropped, of which there is
        // but one. So nobody else looks at `value`.
        unsafe { *self.0.value.get() = Some(value) };
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        self.0.progress.settled.open();
    }
}

impl<T> Expected<T> {
    /// Whether the value is there, or never will be. Any context.
    pub(crate) fn is_settled(&self) -> bool {
        self.0.progress.settled.is_open()
    }

    /// Waits for the value as `waiter`, the current task; `None` if it never will be there, or was taken
    /// before. Sleeps.
    ///
    /// # Errors
    ///
    /// `EDEADLK` when the task that makes it is the caller, or waits for it.
    pub(crate) fn take(&mut self, waiter: Option<Waiter>) -> Result<Option<T>> {
        let Progress { maker, settled } = &self.0.progress;
        if maker.load(Relaxed) == Task::current_raw().addr() {
            return Err(EDEADLK);
        }
        if !settled.is_open() {
            deadlock::wait_for(waiter, &self.0.progress, || settled.wait())?;
        }
        // SAFETY: `settled` is open, so that the maker is finished with `value`, and we have the
        // only other end, mutably.
        Ok(unsafe { (*self.0.value.get()).take() })
    }
}

#[cfg(CONFIG_KTCP_KUNIT_TEST)]
#[kunit_tests(ktcp_outcome)]
mod tests {
    use super::*;

    #[test]
    fn what_was_promised_is_there_once() -> Result {
        let (promise, mut expected) = pair()?;
        assert!(!expected.is_settled());
        promise.keep(|| 7);
        assert!(expected.is_settled());
        assert_eq!(expected.take(None), Ok(Some(7)));
        assert_eq!(expected.take(None), Ok(None));
        Ok(())
    }

    #[test]
    fn a_promise_that_is_not_kept_is_not_waited_for() -> Result {
        let (promise, mut expected) = pair::<u8>()?;
        drop(promise);
        assert_eq!(expected.take(None), Ok(None));
        Ok(())
    }

    #[test]
    fn nobody_waits_for_what_is_his_to_make() -> Result {
        let (promise, mut expected) = pair::<Result>()?;
        let mut taken = None;
        promise.keep(|| {
            taken = Some(expected.take(None));
            Ok(())
        });
        assert_eq!(taken, Some(Err(EDEADLK)));
        Ok(())
    }
}
