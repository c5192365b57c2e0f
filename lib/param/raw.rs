// SPDX-License-Identifier: GPL-2.0

//! Parameters as the kernel sees them.

use super::{
    Parameter,
    Storage, //
};
use core::fmt::{
    Result as Written,
    Write, //
};
use kernel::{
    bindings,
    prelude::*, //
};

/// A writer of a line for sysfs.
///
/// # Invariants
///
/// This value alone may write the `SIZE` bytes from `start` on; `length` is at most `SIZE`.
pub(super) struct Line {
    start: *mut u8,
    length: usize,
}

impl Line {
    /// Capacity in bytes, less than the smallest page.
    pub(super) const SIZE: usize = 4000;

    /// Creates an empty line.
    ///
    /// # Safety
    ///
    /// The `SIZE` bytes from `start` on are valid for writes, by the returned value alone, as long
    /// as that exists.
    pub(super) unsafe fn new(start: *mut u8) -> Self {
        // INVARIANT: By the safety requirements.
        Self { start, length: 0 }
    }

    /// Returns the number of bytes written.
    pub(super) fn length(&self) -> usize {
        self.length
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> Written {
        let fits = text.len().min(Self::SIZE - self.length);
        // SAFETY: By the type invariant `fits` bytes from `length` on can be written, and are not a
        // part of `text`.
        unsafe {
            self.start
                .add(self.length)
                .copy_from_nonoverlapping(text.as_ptr(), fits)
        };
        // INVARIANT: `fits` is at most `SIZE - length`.
        self.length += fits;
        if fits == text.len() {
            Ok(())
        } else {
            Err(core::fmt::Error)
        }
    }
}

/// A `struct kernel_param`, which the kernel finds in the section `__param`.
#[doc(hidden)]
#[repr(transparent)]
pub struct RawParameter(pub(super) bindings::kernel_param);

// SAFETY: Only C reads it, and it is never written.
unsafe impl Sync for RawParameter {}

impl RawParameter {
    /// Any user may read the value in sysfs.
    const MODE: u16 = 0o444;

    pub const fn new<T: Parameter>(
        name: &'static CStr,
        module: *const bindings::module,
        storage: &'static Storage<T>,
    ) -> Self {
        Self(bindings::kernel_param {
            name: kernel::str::as_char_ptr_in_const_context(name),
            mod_: module.cast_mut(),
            ops: Storage::<T>::OPS,
            perm: Self::MODE,
            // The kernel sets it before all initcalls.
            level: -1,
            flags: 0,
            __bindgen_anon_1: bindings::kernel_param__bindgen_ty_1 {
                arg: core::ptr::from_ref(storage).cast_mut().cast(),
            },
        })
    }
}

/// Returns the total length of the parts.
#[doc(hidden)]
pub const fn length(parts: &[&[u8]]) -> usize {
    let (mut sum, mut part) = (0, 0);
    while part < parts.len() {
        sum += parts[part].len();
        part += 1;
    }
    sum
}

/// Concatenates the parts at compile time; `LENGTH` is their [`length`].
#[doc(hidden)]
pub const fn joined<const LENGTH: usize>(parts: &[&[u8]]) -> [u8; LENGTH] {
    let mut all = [0; LENGTH];
    let (mut filled, mut part) = (0, 0);
    while part < parts.len() {
        let mut byte = 0;
        while byte < parts[part].len() {
            all[filled] = parts[part][byte];
            filled += 1;
            byte += 1;
        }
        part += 1;
    }
    all
}

/// Converts to a C string at compile time.
#[doc(hidden)]
pub const fn terminated(bytes: &'static [u8]) -> &'static CStr {
    match CStr::from_bytes_with_nul(bytes) {
        Ok(name) => name,
        Err(_) => panic!("a name holds a NUL"),
    }
}

/// Returns the bytes before a NUL at the end.
#[doc(hidden)]
pub const fn unterminated(bytes: &[u8]) -> &[u8] {
    match bytes {
        [before @ .., 0] => before,
        _ => bytes,
    }
}
