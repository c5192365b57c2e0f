// SPDX-License-Identifier: GPL-2.0
/*
 * Exports every Rust symbol of the library, private functions included: inlining
 * makes the modules that depend on it refer to those as well. Their types do not
 * matter to the linker, as in rust/exports.c.
 */

#include <linux/export.h>

#define EXPORT_SYMBOL_RUST_GPL(sym) extern int sym; EXPORT_SYMBOL_GPL(sym)

#include "exports_generated.h"
