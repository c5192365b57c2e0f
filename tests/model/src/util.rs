// SPDX-License-Identifier: GPL-2.0

//! The part of `lib/util/` that the lock-free parts use.

#[path = "../../../lib/util/compat.rs"]
pub(crate) mod compat;
