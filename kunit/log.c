// SPDX-License-Identifier: GPL-2.0
/* The log of the kernel, as dmesg shows it. */

#include <linux/kmsg_dump.h>
#include <linux/string.h>

#include "kunit.h"

/* Returns the number of log lines that contain the text. */
unsigned int ktcp_kunit_log_lines(const char *text)
{
	struct kmsg_dump_iter log;
	unsigned int count = 0;
	char line[256];
	size_t len;

	kmsg_dump_rewind(&log);
	while (kmsg_dump_get_line(&log, false, line, sizeof(line) - 1, &len)) {
		line[len] = '\0';
		count += !!strstr(line, text);
	}
	return count;
}
