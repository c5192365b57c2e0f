// SPDX-License-Identifier: GPL-2.0

//! Disabling softirqs, and polling in softirq context.
//!
//! C header: [`include/linux/netdevice.h`](srctree/include/linux/netdevice.h)

use crate::shim::{
    self,
    raw::RawPollers, //
};
use core::{
    marker::PhantomData,
    ptr::NonNull, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        Atomic,
        Full, //
    },
    types::NotThreadSafe, //
};

/// A guard that disables softirqs on this CPU until it is dropped. The task must not sleep
/// meanwhile.
pub(crate) struct BhDisabled(NotThreadSafe);

impl BhDisabled {
    /// Disables softirqs. Any context but a hard interrupt.
    pub(crate) fn new() -> Self {
        // SAFETY: The guard stays on this task, and its drop enables softirqs again. A leaked guard
        // leaves them disabled, which is harmful but does not violate memory safety.
        unsafe { shim::ktcp_softirqs_off() };
        Self(NotThreadSafe)
    }
}

impl Drop for BhDisabled {
    fn drop(&mut self) {
        // SAFETY: Balances the call in `new`, on the same task.
        unsafe { shim::ktcp_softirqs_on() };
    }
}

/// Proof that softirqs are disabled for `'a`. The code that holds it must not sleep, and no softirq
/// interrupts that code while it holds the spinlock of a socket.
#[derive(Clone, Copy)]
pub(crate) struct BhToken<'a>(PhantomData<&'a ()>, NotThreadSafe);

impl BhDisabled {
    pub(crate) fn token(&self) -> BhToken<'_> {
        BhToken(PhantomData, self.0)
    }
}

/// A callback in softirq context.
pub(crate) trait Poll: Send + Sync {
    /// Does up to `budget` units of the work that is due, and returns how many it has done. If it
    /// returns `budget`, it is called again soon. Never called again before it returns.
    ///
    /// Softirq context: must not sleep.
    fn poll(&self, bh: BhToken<'_>, budget: u32) -> u32;
}

/// A set of items, each of which is called in softirq context on the CPU that schedules it.
///
/// # Invariants
///
/// `raw` comes from `ktcp_pollers_new` with a pointer to the contents of `items` and their number,
/// and `items` does not change. Only the call of `stop` that sets `stopped` stops `raw`.
pub(crate) struct Pollers<P: Poll> {
    raw: NonNull<RawPollers>,
    items: KVec<P>,
    stopped: Atomic<bool>,
}

// SAFETY: NAPI may be used and freed by any task; the items are `Send`.
unsafe impl<P: Poll> Send for Pollers<P> {}

// SAFETY: `&Pollers` gives access to `&P`, which is `Sync`, and to calls that NAPI serialises by
// its state bits.
unsafe impl<P: Poll> Sync for Pollers<P> {}

impl<P: Poll> Pollers<P> {
    /// Creates a poller for each item. May sleep.
    pub(crate) fn new(items: KVec<P>) -> Result<Self> {
        let count = u32::try_from(items.len())?;
        // SAFETY: `poll::<P>` takes a pointer to the first item and an index below `count`. The
        // items stay at their address on the heap until `drop` has freed `raw`.
        let raw = unsafe { shim::ktcp_pollers_new(count, poll::<P>, items.as_ptr().cast()) };
        // INVARIANT: `raw` was created with the contents of `items` and their number, and is not
        // stopped.
        Ok(Self {
            raw: NonNull::new(raw).ok_or(ENOMEM)?,
            items,
            stopped: Atomic::new(false),
        })
    }

    pub(crate) fn items(&self) -> &[P] {
        &self.items
    }

    /// Schedules a call of the item with this index on this CPU. Softirqs must be disabled, or the
    /// call waits until the next softirq.
    pub(crate) fn schedule(&self, index: usize) {
        if index < self.items.len() {
            // SAFETY: By the type invariant `raw` is valid and has an item with that index. On
            // pollers that are stopped the call does nothing.
            unsafe { shim::ktcp_poller_schedule(self.raw.as_ptr(), index as u32) };
        }
    }

    /// Stops the pollers. After it returns, no item is running, nor will any be called. Sleeps.
    pub(crate) fn stop(&self) {
        if !self.stopped.xchg(true, Full) {
            // INVARIANT: This call has set `stopped`, so no other one stops `raw`.
            // SAFETY: By the type invariant `raw` is valid and was not stopped before.
            unsafe { shim::ktcp_pollers_stop(self.raw.as_ptr()) };
        }
    }
}

impl<P: Poll> Drop for Pollers<P> {
    fn drop(&mut self) {
        self.stop();
        // SAFETY: By the type invariant `raw` is valid; it is stopped, and not used after this
        // drop.
        unsafe { shim::ktcp_pollers_free(self.raw.as_ptr()) };
    }
}

/// # Safety
///
/// `data` points to an array of `P` that has an item with index `index`.
unsafe extern "C" fn poll<P: Poll>(data: *const c_void, index: c_uint, budget: c_uint) -> c_uint {
    // SAFETY: By this function's contract.
    let item = unsafe { &*data.cast::<P>().add(index as usize) };
    // NAPI calls this in softirq context, where softirqs do not nest.
    item.poll(BhToken(PhantomData, NotThreadSafe), budget)
        .min(budget)
}
