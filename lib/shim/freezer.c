// SPDX-License-Identifier: GPL-2.0
/*
 * Waiting as a guest of the kernel does: idle threads count as no load, and while all
 * tasks are frozen, for the sake of a hibernation image or of a suspend, none of ours
 * touches a file.
 */

#include <linux/completion.h>
#include <linux/export.h>
#include <linux/freezer.h>
#include <linux/jump_label.h>
#include <linux/sched.h>
#include <linux/swait.h>

#include "freezer.h"
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

/* Whether the freezer is at work, on whichever tasks. Any context. */
bool ktcp_is_freezing(void)
{
#ifdef CONFIG_FREEZER
	return static_branch_unlikely(&freezer_active);
#else
	return false;
#endif
}

/*
 * From here to ktcp_leave_files() a kernel thread can be frozen, and is now if it has to
 * be: it does not go on before all is thawed. In between it waits for files alone. What
 * else it does, and how long a handler waits for its peer, does not hold up the freezer.
 * False if that is so already, or not our business: tasks of user space and threads that
 * are freezable see to it themselves. May sleep.
 */
bool ktcp_enter_files(void)
{
	if ((current->flags & (PF_KTHREAD | PF_NOFREEZE)) != (PF_KTHREAD | PF_NOFREEZE))
		return false;
	/*
	 * The branch is switched on all CPUs before the freezer looks at tasks: where it is
	 * off, the freezer will see the flag. Where it is on, the lock of set_freezable()
	 * sees to that.
	 */
	current->flags &= ~PF_NOFREEZE;
	barrier();
	if (ktcp_is_freezing())
		set_freezable();
	return true;
}

void ktcp_leave_files(bool entered)
{
	barrier();
	if (entered)
		current->flags |= PF_NOFREEZE;
}
