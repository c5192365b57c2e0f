// SPDX-License-Identifier: GPL-2.0

//! A stand-in for the kernel crate, as far as the library's lock-free parts use it.
//!
//! It is made of primitives that the model checker `loom` watches. Tasks sleep as in the kernel: a
//! wake-up that comes before the task has set its state is lost, and `loom` reports the deadlock.
//!
//! Two things are weaker in the kernel than here. `loom` knows no loads that are delayed beyond
//! later stores, and a full barrier orders plain accesses of all tasks that use one.

pub mod bindings;
pub mod init;
pub mod sync;
pub mod task;
pub mod time;

pub mod prelude {
    //! The items of the stand-in that `kernel::prelude` brings.

    pub use crate::{
        current,
        init::PinInit,
        pin_init, //
    };
    pub use kernel_macros::pin_data;
}

pub mod types {
    //! Values that C initialises.

    use std::{
        cell::UnsafeCell,
        mem::MaybeUninit, //
    };

    /// A value that C has initialised. Unlike the kernel's it is dropped, so that a model notices when
    /// it is freed too early.
    pub struct Opaque<T>(UnsafeCell<T>);

    impl<T> Opaque<T> {
        /// Has `initialise` fill the memory of the value.
        pub fn ffi_init(initialise: impl FnOnce(*mut T)) -> Self {
            let mut memory = MaybeUninit::uninit();
            initialise(memory.as_mut_ptr());
            // SAFETY: The caller has it initialised, as in the kernel.
            Self(UnsafeCell::new(unsafe { memory.assume_init() }))
        }

        /// Returns a pointer to the value.
        pub fn get(&self) -> *mut T {
            self.0.get()
        }
    }
}
