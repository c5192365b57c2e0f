// SPDX-License-Identifier: GPL-2.0

//! Constants and layouts of structs, as the C compiler knows them.
//!
//! Kbuild compiles `constants.c` and writes its constants into the file included here. So a
//! constant is defined once, in C, and a struct that C and Rust share cannot differ: see
//! [`assert_layout`].

#![allow(
    non_upper_case_globals,
    reason = "the names contain those of C structs and their fields"
)]
#![allow(
    dead_code,
    reason = "what `const _` alone uses, as assertions do, is dead to rustc"
)]

use kernel::prelude::*;

include!(concat!(env!("KTCP_GENERATED"), "/constants_generated.rs"));

/// Returns the size in bytes of the field that `_field` refers to.
pub(crate) const fn size_of_field<S, F>(_field: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

/// Fails the build unless `$Raw` has the size of `struct $c_struct`, and each field the offset and
/// the size that C gives it.
macro_rules! assert_layout {
    ($Raw:ty, $c_struct:ident, [$($field:ident),* $(,)?]) => {
        ::kernel::macros::paste! {
            const _: () = {
                use $crate::shim::layout;

                assert!(size_of::<$Raw>() == layout::[<size_of_ $c_struct>]);
                $(
                    assert!(
                        ::core::mem::offset_of!($Raw, $field)
                            == layout::[<offset_of_ $c_struct _ $field>]
                    );
                    assert!(
                        layout::size_of_field(|raw: &$Raw| &raw.$field)
                            == layout::[<size_of_ $c_struct _ $field>]
                    );
                )*
            };
        }
    };
}
pub(crate) use assert_layout;
