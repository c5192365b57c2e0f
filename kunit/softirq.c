// SPDX-License-Identifier: GPL-2.0
/* A softirq on demand. */

#include <linux/interrupt.h>

#include "kunit.h"

static unsigned int ktcp_kunit_softirqs;

static void ktcp_kunit_count_softirq(struct tasklet_struct *tasklet)
{
	WRITE_ONCE(ktcp_kunit_softirqs, ktcp_kunit_softirqs + 1);
}

static DECLARE_TASKLET(ktcp_kunit_tasklet, ktcp_kunit_count_softirq);

/* Raises a softirq on this CPU, which runs as soon as softirqs may. */
void ktcp_kunit_raise_softirq(void)
{
	tasklet_schedule(&ktcp_kunit_tasklet);
}

/* Returns the number of these softirqs that have run. */
unsigned int ktcp_kunit_softirqs_run(void)
{
	return READ_ONCE(ktcp_kunit_softirqs);
}
