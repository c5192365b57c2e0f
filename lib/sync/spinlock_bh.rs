// SPDX-License-Identifier: GPL-2.0

//! A spinlock that softirq context shares with other contexts.
//!
//! C header: [`include/linux/spinlock.h`](srctree/include/linux/spinlock.h)

use crate::shim;
use kernel::{
    bindings,
    ffi::c_char,
    sync::lock::{
        spinlock::SpinLockBackend,
        Backend,
        Guard,
        Lock, //
    }, //
};

/// Creates a [`SpinLockBh`] that holds the given value.
#[macro_export]
macro_rules! new_spinlock_bh {
    ($inner:expr $(, $name:literal)? $(,)?) => {
        $crate::SpinLockBh::new(
            $inner,
            ::kernel::optional_name!($($name)?),
            ::kernel::static_lock_class!(),
        )
    };
}

/// A spinlock that disables softirqs while it is held (`spin_lock_bh()`).
///
/// For data that methods of a handler share with other code if they are called in softirq context,
/// such as [`try_receive`](crate::Handler::try_receive).
///
/// Any context but a hard interrupt. It may be taken with interrupts disabled, as under a
/// `SpinLockIrq`: its release then runs no softirq; pending ones run once interrupts are enabled. A
/// task that holds it must not sleep.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use ktcp_server::{new_spinlock_bh, SpinLockBh};
///
/// #[pin_data]
/// struct Shared {
///     #[pin]
///     last: SpinLockBh<Option<u32>>,
/// }
///
/// let shared = KBox::pin_init(pin_init!(Shared { last <- new_spinlock_bh!(None) }), GFP_KERNEL)?;
/// *shared.last.lock() = Some(7);
/// assert_eq!(*shared.last.lock(), Some(7));
/// # Ok::<(), Error>(())
/// ```
pub type SpinLockBh<T> = Lock<T, SpinLockBhBackend>;

/// The guard of a [`SpinLockBh`].
pub type SpinLockBhGuard<'a, T> = Guard<'a, T, SpinLockBhBackend>;

/// The lock backend of a [`SpinLockBh`].
pub struct SpinLockBhBackend;

// SAFETY: The lock is that of `SpinLockBackend`, which guarantees mutual exclusion.
unsafe impl Backend for SpinLockBhBackend {
    type State = bindings::spinlock_t;
    type GuardState = ();

    unsafe fn init(ptr: *mut Self::State, name: *const c_char, key: *mut bindings::lock_class_key) {
        // SAFETY: By this function's contract, which is the same.
        unsafe { SpinLockBackend::init(ptr, name, key) }
    }

    unsafe fn lock(ptr: *mut Self::State) -> Self::GuardState {
        // SAFETY: `unlock` balances this on the same task: guards are not sent to another one.
        unsafe { shim::ktcp_softirqs_off() };
        // SAFETY: By this function's contract, which is the same.
        unsafe { SpinLockBackend::lock(ptr) }
    }

    unsafe fn try_lock(ptr: *mut Self::State) -> Option<Self::GuardState> {
        // SAFETY: Balanced by `unlock` as above, or below if the lock is taken.
        unsafe { shim::ktcp_softirqs_off() };
        // SAFETY: By this function's contract, which is the same.
        let locked = unsafe { SpinLockBackend::try_lock(ptr) };
        if locked.is_none() {
            // SAFETY: Balances the call above, on this task.
            unsafe { shim::ktcp_softirqs_on() };
        }
        locked
    }

    unsafe fn unlock(ptr: *mut Self::State, guard_state: &Self::GuardState) {
        // SAFETY: By this function's contract, which is the same.
        unsafe { SpinLockBackend::unlock(ptr, guard_state) };
        // SAFETY: Balances the call in `lock` or `try_lock`, which was made on this task.
        unsafe { shim::ktcp_softirqs_on() };
    }

    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // SAFETY: By this function's contract, which is the same.
        unsafe { SpinLockBackend::assert_is_held(ptr) }
    }
}
