// SPDX-License-Identifier: GPL-2.0

#include <linux/export.h>

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "trace.h"

/* Exported because generic code with trace points is compiled into other modules. */
EXPORT_TRACEPOINT_SYMBOL_GPL(ktcp_accept);
EXPORT_TRACEPOINT_SYMBOL_GPL(ktcp_refuse);
EXPORT_TRACEPOINT_SYMBOL_GPL(ktcp_receive);
EXPORT_TRACEPOINT_SYMBOL_GPL(ktcp_send);
EXPORT_TRACEPOINT_SYMBOL_GPL(ktcp_close);
