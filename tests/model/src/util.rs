// SPDX-License-Identifier: GPL-2.0

//! What the lock-free parts use of `lib/util/`.

#[path = "../../../lib/util/compat.rs"]
pub(crate) mod compat;
