// SPDX-License-Identifier: GPL-2.0

//! A one-way switch that tasks can wait for, with or without a deadline.
//!
//! [`kernel::sync::Completion`] cannot wait with a timeout. [`CondVar`] can, but only in a form
//! that a pending signal interrupts; a signal to `rmmod` must not cut a wait short. Both count a
//! waiting thread as load.
//!
//! C header: [`include/linux/completion.h`](srctree/include/linux/completion.h)
//!
//! [`CondVar`]: kernel::sync::CondVar

use crate::{
    shim,
    util::compat::millis_ceil, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Release, //
    },
    time::{
        msecs_to_jiffies,
        Delta,
        Msecs, //
    },
    types::Opaque, //
};

/// A latch: closed at first, and open for ever once it is opened.
#[pin_data]
pub(crate) struct Latch {
    /// Set just before the completion is completed.
    opened: Atomic<bool>,
    #[pin]
    completion: Opaque<bindings::completion>,
}

// SAFETY: A completion may be used and freed by any task.
unsafe impl Send for Latch {}

// SAFETY: A completion serialises its users by a lock of its own.
unsafe impl Sync for Latch {}

impl Latch {
    /// Creates a closed latch.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            opened: Atomic::new(false),
            completion <- Opaque::ffi_init(|slot: *mut bindings::completion| {
                // SAFETY: `slot` is valid for the initialisation of a completion.
                unsafe { bindings::init_completion(slot) };
            }),
        })
    }

    /// Opens the latch and wakes all tasks that wait for it. Any context.
    pub(crate) fn open(&self) {
        self.opened.store(true, Release);
        // SAFETY: The completion was initialised by `new`.
        unsafe { bindings::complete_all(self.completion.get()) }
    }

    /// Returns true if a task has begun to open the latch. Costs one load. Any context.
    ///
    /// That task may still be using the latch, which may be freed only once it [is
    /// open](Self::is_open).
    #[inline]
    pub(crate) fn is_opening(&self) -> bool {
        self.opened.load(Acquire)
    }

    /// Returns true if the latch is open. Any context.
    pub(crate) fn is_open(&self) -> bool {
        // SAFETY: The completion was initialised by `new`.
        unsafe { bindings::completion_done(self.completion.get()) }
    }

    /// Waits until the latch is open, ignoring signals. Sleeps.
    pub(crate) fn wait(&self) {
        // Waking up now and then keeps the hung-task detector from reporting a long wait.
        while !self.wait_timeout(Delta::from_secs(30)) {}
    }

    /// Waits until the latch is open, for at most `timeout`. Returns true if it is open. Sleeps: a kernel
    /// thread is idle meanwhile, and does not count as load.
    pub(crate) fn wait_timeout(&self, timeout: Delta) -> bool {
        let millis = Msecs::try_from(millis_ceil(timeout).max(0)).unwrap_or(Msecs::MAX);
        // SAFETY: The completion was initialised by `new`.
        let left = unsafe {
            shim::ktcp_wait_for_completion_timeout(self.completion.get(), msecs_to_jiffies(millis))
        };
        left != 0 || self.is_open()
    }
}

#[cfg(CONFIG_KTCP_KUNIT_TEST)]
#[kunit_tests(ktcp_latch)]
mod tests {
    use super::*;
    use crate::util::cpu::jiffies;
    use kernel::sync::Arc;

    #[test]
    fn waits_as_long_as_it_is_closed() -> Result {
        let latch = Arc::pin_init(Latch::new(), GFP_KERNEL)?;
        let begin = jiffies();
        assert!(!latch.is_open());
        assert!(!latch.wait_timeout(Delta::from_millis(200)));
        // Jiffies may lag behind the clock in a guest.
        assert!(jiffies().wrapping_sub(begin) >= msecs_to_jiffies(200) as usize);
        assert!(!latch.wait_timeout(Delta::from_millis(-1)));

        latch.open();
        latch.open();
        latch.wait();
        assert!(latch.is_open());
        assert!(latch.wait_timeout(Delta::ZERO));
        Ok(())
    }
}
