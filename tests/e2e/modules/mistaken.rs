// SPDX-License-Identifier: GPL-2.0

//! Does what nobody must do, so that those who look for it can be seen to see it.

use core::{
    hint::black_box,
    mem::MaybeUninit, //
};
use kernel::{
    bindings,
    prelude::*,
    static_lock_class,
    sync::{
        new_mutex,
        new_spinlock,
        Arc, //
    }, //
};
use ktcp_server::Text;

module! {
    type: Mistaken,
    name: "mistaken",
    authors: ["The ktcp_server authors"],
    description: "Makes mistakes",
    license: "GPL",
}

ktcp_server::parameters! {
    struct Parameters {
        /// Which one: sleep, timer, deadlock, freed or overflow
        mistake: Text<16> = Text::new(""),
    }
}

/// Allocates memory, for which one may have to sleep, where one must not.
fn sleep() -> Result {
    let lock = Arc::pin_init(new_spinlock!(()), GFP_KERNEL)?;
    let _guard = lock.lock();
    let _memory = KBox::new(black_box(0_u8), GFP_KERNEL)?;
    Ok(())
}

unsafe extern "C" fn elapsed(_timer: *mut bindings::timer_list) {}

/// Frees a timer that is running.
fn timer() -> Result {
    let timer = KBox::<bindings::timer_list>::new_uninit(GFP_KERNEL)?;
    let timer: *mut bindings::timer_list = KBox::into_raw(timer).cast();
    // SAFETY: It is ours, and is not used by anybody yet.
    unsafe {
        bindings::timer_init_key(
            timer,
            Some(elapsed),
            0,
            c"mistaken".as_char_ptr(),
            static_lock_class!().as_ptr(),
        )
    };
    // SAFETY: It is initialised. Any value of the clock is one.
    unsafe { bindings::mod_timer(timer, bindings::jiffies + 100_000) };
    // SAFETY: None, for the kernel uses it yet. That is the mistake, which the kernel mends when it
    // sees it.
    drop(unsafe { KBox::from_raw(timer.cast::<MaybeUninit<bindings::timer_list>>()) });
    Ok(())
}

/// Takes two locks in either order.
fn deadlock() -> Result {
    let one = Arc::pin_init(new_mutex!(()), GFP_KERNEL)?;
    let other = Arc::pin_init(new_mutex!(()), GFP_KERNEL)?;
    {
        let _first = one.lock();
        let _second = other.lock();
    }
    let _first = other.lock();
    let _second = one.lock();
    Ok(())
}

/// Reads what was freed.
fn freed() -> Result {
    let byte = KBox::into_raw(KBox::new(black_box(0_u8), GFP_KERNEL)?);
    // SAFETY: It was a box a moment ago.
    drop(unsafe { KBox::from_raw(byte) });
    // SAFETY: None. That is the mistake; nothing is done with what is read.
    black_box(unsafe { byte.read_volatile() });
    Ok(())
}

/// Counts too far, which a kernel that sees it does not survive.
fn overflow() -> Result {
    black_box(black_box(u8::MAX) + black_box(1));
    Ok(())
}

struct Mistaken;

impl kernel::Module for Mistaken {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        match Parameters::read()?.mistake.as_str() {
            "sleep" => sleep(),
            "timer" => timer(),
            "deadlock" => deadlock(),
            "freed" => freed(),
            "overflow" => overflow(),
            _ => Err(EINVAL),
        }?;
        Ok(Self)
    }
}
