// SPDX-License-Identifier: GPL-2.0

//! A spinlock for what code in softirq context shares with code elsewhere.
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

/// Makes a [`SpinLockBh`] with that value in it.
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

/// A spinlock that keeps softirqs off while it is held (`spin_lock_bh()`): for what is shared by
/// methods of a handler that are called in softirq context, such as
/// [`try_receive`](crate::Handler::try_receive), and others.
///
/// Any context but a hard interrupt; with interrupts disabled, too, as under a
/// `SpinLockIrq`. Then no softirq runs when it is released, and none
/// before interrupts are enabled again. A task that holds it must not sleep.
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

// SAFETY: The lock is that of `SpinLockBackend`, which excludes all others while it is held.
unsafe impl Backend for SpinLockBhBackend {
    type State = bindings::spinlock_t;
    type GuardState = ();

    unsafe fn init(ptr: *mut Self::State, name: *const c_char, key: *mut bindings::lock_class_key) {
        // SAFETY: By this function's contract, which is the same.
        unsafe { SpinLockBackend::init(ptr, name, key) }
    }

    unsafe fn lock(ptr: *mut Self::State) -> Self::GuardState {
        // SAFETY: `unlock` undoes it, on the same task: guards are not sent to another.
        unsafe { shim::ktcp_softirqs_off() };
        // SAFETY: By this function's contract, which is the same.
        unsafe { SpinLockBackend::lock(ptr) }
    }

    unsafe fn try_lock(ptr: *mut Self::State) -> Option<Self::GuardState> {
        // SAFETY: Undone by `unlock`, as above, or below.
        unsafe { shim::ktcp_softirqs_off() };
        // SAFETY: By this function's contract, which is the same.
        let locked = unsafe { SpinLockBackend::try_lock(ptr) };
        if locked.is_none() {
            // SAFETY: They were put off above, on this task.
            unsafe { shim::ktcp_softirqs_on() };
        }
        locked
    }

    unsafe fn unlock(ptr: *mut Self::State, guard_state: &Self::GuardState) {
        // SAFETY: By this function's contract, which is the same.
        unsafe { SpinLockBackend::unlock(ptr, guard_state) };
        // SAFETY: The task that has locked it has put them off, on this task.
        unsafe { shim::ktcp_softirqs_on() };
    }

    unsafe fn assert_is_held(ptr: *mut Self::State) {
        // SAFETY: By this function's contract, which is the same.
        unsafe { SpinLockBackend::assert_is_held(ptr) }
    }
}
