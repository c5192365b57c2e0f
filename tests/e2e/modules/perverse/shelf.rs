// SPDX-License-Identifier: GPL-2.0

//! A place for a value from which any task can take it.

use kernel::{
    prelude::*,
    sync::Arc, //
};
use ktcp_server::{
    new_spinlock_bh,
    SpinLockBh, //
};

/// A lock around an `Option`. What is on the shelf is never dropped under the lock, unless the shelf
/// itself is dropped.
#[pin_data]
pub(crate) struct Shelf<T> {
    #[pin]
    value: SpinLockBh<Option<T>>,
}

impl<T: Unpin> Shelf<T> {
    /// An empty shelf. May sleep.
    pub(crate) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                value <- new_spinlock_bh!(None),
            }),
            GFP_KERNEL,
        )
    }

    /// Puts `value` on the shelf; returns what was there before. Any context.
    pub(crate) fn put(&self, value: T) -> Option<T> {
        self.value.lock().replace(value)
    }

    /// Takes what is on the shelf. Any context.
    pub(crate) fn take(&self) -> Option<T> {
        self.value.lock().take()
    }
}
