// SPDX-License-Identifier: GPL-2.0

//! Softirq context: keeping it off, and being called there.
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

/// Keeps softirqs from running on this CPU as long as it is there. The task must not sleep
/// meanwhile.
pub(crate) struct BhDisabled(NotThreadSafe);

impl BhDisabled {
    /// Any context but a hard interrupt.
    pub(crate) fn new() -> Self {
        // SAFETY: The guard is not sent to another task, and ends this when it is dropped. Leaking
        // it would leave softirqs off, which harms but does not break any memory.
        unsafe { shim::ktcp_softirqs_off() };
        Self(NotThreadSafe)
    }
}

impl Drop for BhDisabled {
    fn drop(&mut self) {
        // SAFETY: Undoes what `new` did, on the same task.
        unsafe { shim::ktcp_softirqs_on() };
    }
}

/// Proof that softirqs are off for `'a`. Code that has it must not sleep, and no softirq interrupts it while
/// it holds the spinlock of a socket.
#[derive(Clone, Copy)]
pub(crate) struct BhToken<'a>(PhantomData<&'a ()>, NotThreadSafe);

impl BhDisabled {
    pub(crate) fn token(&self) -> BhToken<'_> {
        BhToken(PhantomData, self.0)
    }
}

/// Something that is called in softirq context.
pub(crate) trait Poll: Send + Sync {
    /// Works through what is due, up to `budget` units; says how many. If that is all of them it
    /// is called again soon. Never called while it runs.
    ///
    /// Softirq context: must not sleep.
    fn poll(&self, bh: BhToken<'_>, budget: u32) -> u32;
}

/// Calls each of its items when asked to, in softirq context on the CPU that asked.
///
/// # Invariants
///
/// `raw` comes from `ktcp_pollers_new` with a pointer to the contents of `items` and their number,
/// and `items` does not change. It has been stopped if `stopped` is true.
pub(crate) struct Pollers<P: Poll> {
    raw: NonNull<RawPollers>,
    items: KVec<P>,
    stopped: Atomic<bool>,
}

// SAFETY: NAPI may be used and freed by any task; the items are `Send`.
unsafe impl<P: Poll> Send for Pollers<P> {}

// SAFETY: `&Pollers` offers `&P`, which is `Sync`, and calls that serialise by bits of NAPI.
unsafe impl<P: Poll> Sync for Pollers<P> {}

impl<P: Poll> Pollers<P> {
    /// May sleep.
    pub(crate) fn new(items: KVec<P>) -> Result<Self> {
        let count = u32::try_from(items.len())?;
        // SAFETY: `poll::<P>` takes a pointer to the first item and a number below `count`. The
        // items stay where they are, on the heap, until `drop` has freed what is made here.
        let raw = unsafe { shim::ktcp_pollers_new(count, poll::<P>, items.as_ptr().cast()) };
        // INVARIANT: `raw` is as described, and was not stopped.
        Ok(Self {
            raw: NonNull::new(raw).ok_or(ENOMEM)?,
            items,
            stopped: Atomic::new(false),
        })
    }

    pub(crate) fn items(&self) -> &[P] {
        &self.items
    }

    /// Has the item with this index called soon on this CPU. With softirqs off, or nothing happens
    /// until the next one.
    pub(crate) fn schedule(&self, index: usize) {
        if index < self.items.len() {
            // SAFETY: By the type invariant `raw` is valid and has an item of that index. Once it
            // is stopped this does nothing.
            unsafe { shim::ktcp_poller_schedule(self.raw.as_ptr(), index as u32) };
        }
    }

    /// Stops calling items: when this returns, none is called any more, nor will be. Sleeps.
    pub(crate) fn stop(&self) {
        if !self.stopped.xchg(true, Full) {
            // INVARIANT: `stopped` is true.
            // SAFETY: By the type invariant `raw` is valid and was not stopped.
            unsafe { shim::ktcp_pollers_stop(self.raw.as_ptr()) };
        }
    }
}

impl<P: Poll> Drop for Pollers<P> {
    fn drop(&mut self) {
        self.stop();
        // SAFETY: By the type invariant `raw` is valid, and it is stopped now. It is not used after
        // this, for `self` goes.
        unsafe { shim::ktcp_pollers_free(self.raw.as_ptr()) };
    }
}

/// # Safety
///
/// `data` points to an array of `P` that has an item of that index.
unsafe extern "C" fn poll<P: Poll>(data: *const c_void, index: c_uint, budget: c_uint) -> c_uint {
    // SAFETY: By this function's contract.
    let item = unsafe { &*data.cast::<P>().add(index as usize) };
    // NAPI calls in softirq context, where softirqs do not nest.
    item.poll(BhToken(PhantomData, NotThreadSafe), budget)
        .min(budget)
}
