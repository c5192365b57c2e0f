// SPDX-License-Identifier: GPL-2.0

#include <linux/export.h>
#include <linux/module.h>

#define CREATE_TRACE_POINTS
#define CREATE_RUST_TRACE_POINTS
#include "trace.h"

/* Exported because generic code with trace points is compiled into other modules. */
EXPORT_TRACEPOINT_SYMBOL_GPL(ktcp_accept);
EXPORT_TRACEPOINT_SYMBOL_GPL(ktcp_refuse);
EXPORT_TRACEPOINT_SYMBOL_GPL(ktcp_receive);
EXPORT_TRACEPOINT_SYMBOL_GPL(ktcp_send);
EXPORT_TRACEPOINT_SYMBOL_GPL(ktcp_close);

int ktcp_trace_begin(void)
{
	return try_module_get(THIS_MODULE) ? 0 : -ENODEV;
}

void ktcp_trace_end(void)
{
	module_put(THIS_MODULE);
}
