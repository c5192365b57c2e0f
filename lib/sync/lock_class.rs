// SPDX-License-Identifier: GPL-2.0

//! Constructors of locks and work items with lockdep classes that are the same in every crate.
//!
//! The macros of the `kernel` crate name a class by a literal. Each crate that instantiates generic
//! code has its own copy of the literal, while the key of the class is one static. Lockdep compares
//! names by address, and warns of a class with one key and two names. Here the name is a static,
//! too.
//!
//! C header: [`include/linux/lockdep.h`](srctree/include/linux/lockdep.h)

/// A name that has the same address in every crate.
macro_rules! class_name {
    ($name:expr) => {{
        static NAME: &::kernel::str::CStr = $name;
        NAME
    }};
}

/// Like [`kernel::new_mutex!`].
macro_rules! new_mutex {
    ($inner:expr) => {
        ::kernel::sync::Mutex::new(
            $inner,
            $crate::sync::lock_class::class_name!(::kernel::c_str!(concat!(file!(), ":", line!()))),
            ::kernel::static_lock_class!(),
        )
    };
}

/// Like [`kernel::new_spinlock!`].
macro_rules! new_spinlock {
    ($inner:expr) => {
        ::kernel::sync::SpinLock::new(
            $inner,
            $crate::sync::lock_class::class_name!(::kernel::c_str!(concat!(file!(), ":", line!()))),
            ::kernel::static_lock_class!(),
        )
    };
}

/// Like [`kernel::new_work!`].
macro_rules! new_work {
    ($name:literal) => {
        ::kernel::workqueue::Work::new(
            $crate::sync::lock_class::class_name!(::kernel::c_str!($name)),
            ::kernel::static_lock_class!(),
        )
    };
}

pub(crate) use {
    class_name,
    new_mutex,
    new_spinlock,
    new_work, //
};
