// SPDX-License-Identifier: GPL-2.0

//! Atomics with the orderings of the kernel's memory model.
//!
//! A fully ordered exchange is a relaxed one between two full barriers. If it fails it orders
//! nothing, and may have seen an old value, as any load.

use loom::sync::atomic::{
    fence,
    AtomicUsize,
    Ordering as Std, //
};
use std::marker::PhantomData;

/// No ordering.
pub struct Relaxed;
/// Orders later accesses.
pub struct Acquire;
/// Orders earlier accesses.
pub struct Release;
/// Orders all earlier and all later accesses.
pub struct Full;

/// The ordering of an operation.
pub trait Ordering {
    /// For a load, or the load of an exchange that succeeds.
    const LOAD: Std = Std::Relaxed;
    /// For a store.
    const STORE: Std = Std::Relaxed;
    /// For an exchange.
    const EXCHANGE: Std = Std::Relaxed;
    /// True if a full barrier stands before and after an exchange.
    const FULL: bool = false;
}

impl Ordering for Relaxed {}

impl Ordering for Acquire {
    const LOAD: Std = Std::Acquire;
    const EXCHANGE: Std = Std::Acquire;
}

impl Ordering for Release {
    const STORE: Std = Std::Release;
    const EXCHANGE: Std = Std::Release;
}

impl Ordering for Full {
    const FULL: bool = true;
}

/// An ordering that a load can have.
pub trait AcquireOrRelaxed: Ordering {}

impl AcquireOrRelaxed for Acquire {}
impl AcquireOrRelaxed for Relaxed {}

/// An ordering that a store can have.
pub trait ReleaseOrRelaxed: Ordering {}

impl ReleaseOrRelaxed for Release {}
impl ReleaseOrRelaxed for Relaxed {}

/// A value that fits into a word.
pub trait Word: Copy + PartialEq {
    /// Returns it as a word.
    fn into_word(self) -> usize;
    /// Returns the value that was such a word.
    fn from_word(word: usize) -> Self;
}

impl Word for u32 {
    fn into_word(self) -> usize {
        self as usize
    }

    fn from_word(word: usize) -> Self {
        word as u32
    }
}

impl Word for bool {
    fn into_word(self) -> usize {
        self.into()
    }

    fn from_word(word: usize) -> Self {
        word != 0
    }
}

impl<T> Word for *const T {
    fn into_word(self) -> usize {
        self.expose_provenance()
    }

    fn from_word(word: usize) -> Self {
        std::ptr::with_exposed_provenance(word)
    }
}

/// Issues a full barrier if `O` is [`Full`].
fn barrier<O: Ordering>() {
    if O::FULL {
        fence(Std::SeqCst);
    }
}

/// An atomic value.
pub struct Atomic<T> {
    word: AtomicUsize,
    value: PhantomData<T>,
}

// SAFETY: Each access to the value is atomic.
unsafe impl<T> Sync for Atomic<T> {}

// SAFETY: As above; the user of a pointer answers for its target.
unsafe impl<T> Send for Atomic<T> {}

impl<T: Word> Atomic<T> {
    /// Makes an atomic with this value.
    pub fn new(value: T) -> Self {
        Self {
            word: AtomicUsize::new(value.into_word()),
            value: PhantomData,
        }
    }

    /// Returns the value.
    pub fn load<O: AcquireOrRelaxed>(&self, _: O) -> T {
        T::from_word(self.word.load(O::LOAD))
    }

    /// Replaces the value.
    pub fn store<O: ReleaseOrRelaxed>(&self, value: T, _: O) {
        self.word.store(value.into_word(), O::STORE);
    }

    /// Replaces the value, and returns the one before.
    pub fn xchg<O: Ordering>(&self, value: T, _: O) -> T {
        barrier::<O>();
        let before = self.word.swap(value.into_word(), O::EXCHANGE);
        barrier::<O>();
        T::from_word(before)
    }

    /// Replaces the value if it is `old`.
    pub fn cmpxchg<O: Ordering>(&self, old: T, new: T, _: O) -> Result<T, T> {
        let seen = T::from_word(self.word.load(Std::Relaxed));
        if seen != old {
            return Err(seen);
        }
        barrier::<O>();
        let result =
            self.word
                .compare_exchange(old.into_word(), new.into_word(), O::EXCHANGE, Std::Relaxed);
        if result.is_ok() {
            barrier::<O>();
        }
        result.map(T::from_word).map_err(T::from_word)
    }
}
