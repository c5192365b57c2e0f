// SPDX-License-Identifier: GPL-2.0
/*
 * Exports every Rust symbol of the module, as the library does with its own.
 */

#include <linux/export.h>

#define EXPORT_SYMBOL_RUST_GPL(sym) extern int sym; EXPORT_SYMBOL_GPL(sym)

#include "exports_generated.h"
