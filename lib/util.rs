// SPDX-License-Identifier: GPL-2.0

//! Data structures and helpers without locks, and what the `kernel` crate of older kernels lacks.

pub(crate) mod backoff;
pub(crate) mod compat;
pub(crate) mod cpu;
pub mod error;
pub(crate) mod name;
pub(crate) mod slab;
pub(crate) mod stack_list;
