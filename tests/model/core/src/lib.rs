// SPDX-License-Identifier: GPL-2.0

//! The crate `core`, but for an [`UnsafeCell`](cell::UnsafeCell) that notices data races.

#![no_std]

pub use ::core::*;

pub mod cell {
    //! `core::cell`, with a checked `UnsafeCell`.

    pub use ::core::cell::*;

    /// A cell that panics unless each use is ordered after all earlier ones.
    ///
    /// Each pointer counts as a write at the time of the call: the library takes a pointer for one
    /// access, in a task that owns the content.
    pub struct UnsafeCell<T> {
        value: ::core::cell::UnsafeCell<T>,
        used: loom::cell::UnsafeCell<()>,
    }

    impl<T> UnsafeCell<T> {
        /// A cell that nothing has used yet.
        pub fn new(value: T) -> Self {
            Self {
                value: ::core::cell::UnsafeCell::new(value),
                used: loom::cell::UnsafeCell::new(()),
            }
        }

        /// Returns a pointer to the content. Panics, in a model, if that is a race.
        pub fn get(&self) -> *mut T {
            self.used.with_mut(|_| ());
            self.value.get()
        }
    }
}
