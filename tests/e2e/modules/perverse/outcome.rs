// SPDX-License-Identifier: GPL-2.0

//! How results are told to tests.

use kernel::{
    ffi::c_int,
    prelude::*, //
};

/// The number of the error, negative as C has it, or 0. Not every kernel knows the names of errors.
pub(crate) fn number<T>(result: Result<T>) -> c_int {
    result.map_or_else(Error::to_errno, |_| 0)
}
