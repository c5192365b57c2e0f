// SPDX-License-Identifier: GPL-2.0
/*
 * Waiting as a guest of the kernel does: idle threads count as no load.
 */

#include <linux/completion.h>
#include <linux/export.h>
#include <linux/freezer.h>
#include <linux/sched.h>
#include <linux/swait.h>

#include "shim.h"

/*
 * As wait_for_completion_timeout(), but a kernel thread is idle meanwhile: there is no
 * load in waiting for work. That of another task, rmmod for example, is one; it does not
 * keep the machine from being suspended.
 */
unsigned long ktcp_wait_for_completion_timeout(struct completion *x, unsigned long timeout)
{
	unsigned int state = current->flags & PF_KTHREAD ? TASK_IDLE : TASK_UNINTERRUPTIBLE;
	unsigned int freezable = state | TASK_FREEZABLE;
	/* That of the macros, which count it down. */
	long __ret = timeout;

	might_sleep();
	if (!___wait_cond_timeout(completion_done(x)))
		__ret = ___swait_event(x->wait, ___wait_cond_timeout(completion_done(x)),
				       freezable, timeout, __ret = schedule_timeout(__ret));
	return __ret;
}
EXPORT_SYMBOL_GPL(ktcp_wait_for_completion_timeout);
