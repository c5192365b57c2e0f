// SPDX-License-Identifier: GPL-2.0

//! Synchronisation.

pub mod atomic;

use self::atomic::{
    Acquire,
    Atomic,
    Relaxed,
    Release, //
};
use loom::cell::UnsafeCell;

// `loom`'s `Arc` reports values that are never freed.
pub use loom::sync::Arc;

pub mod aref {
    //! References to values that count them themselves.

    use std::ops::Deref;

    /// A counted reference; a clone is another one.
    pub struct ARef<T>(T);

    impl<T: Clone> From<&T> for ARef<T> {
        fn from(target: &T) -> Self {
            Self(target.clone())
        }
    }

    impl<T> Deref for ARef<T> {
        type Target = T;

        fn deref(&self) -> &T {
            &self.0
        }
    }
}

/// A container that is populated once, as in the kernel: by a relaxed exchange and a release.
pub struct SetOnce<T> {
    /// 1 while the value is being written, and then 2.
    step: Atomic<u32>,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: The value is written before `step` says so, and not after that.
unsafe impl<T: Send + Sync> Sync for SetOnce<T> {}

// SAFETY: As above.
unsafe impl<T: Send> Send for SetOnce<T> {}

impl<T> SetOnce<T> {
    /// An empty container.
    #[expect(clippy::new_without_default, reason = "the library calls `new`")]
    pub fn new() -> Self {
        Self {
            step: Atomic::new(0),
            value: UnsafeCell::new(None),
        }
    }

    /// Returns the value, if there is one.
    pub fn as_ref(&self) -> Option<&T> {
        if self.step.load(Acquire) != 2 {
            return None;
        }
        // SAFETY: The value is not written any more.
        self.value.with(|value| unsafe { (*value).as_ref() })
    }

    /// Puts a value in, unless one is there already.
    pub fn populate(&self, value: T) -> bool {
        if self.step.cmpxchg(0, 1, Relaxed).is_err() {
            return false;
        }
        // SAFETY: One task alone has moved `step`, and others wait for the next.
        self.value.with_mut(|slot| unsafe { *slot = Some(value) });
        self.step.store(2, Release);
        true
    }
}
