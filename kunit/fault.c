// SPDX-License-Identifier: GPL-2.0
/*
 * Fault injection, as user space has it in debugfs and /proc, and counts of the tasks
 * and sockets that remain.
 */

#include <linux/dcache.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/printk.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/string.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "kunit.h"

/* Returns the variable behind a file of debugfs_create_bool() and the like. */
static void *ktcp_kunit_setting(const char *folder, const char *name)
{
	struct dentry *dir = debugfs_lookup(folder, NULL);
	struct dentry *file;
	void *setting;

	if (!dir)
		return NULL;
	file = debugfs_lookup(name, dir);
	dput(dir);
	if (!file)
		return NULL;
	setting = d_inode(file)->i_private;
	dput(file);
	return setting;
}

/*
 * By default only allocations that must not sleep fail, and none of single pages; each
 * failure would fill the log with its stack.
 */
int ktcp_kunit_fault_setup(void)
{
	static const char * const folders[] = { "failslab", "fail_page_alloc" };
	u32 *min_order = ktcp_kunit_setting("fail_page_alloc", "min-order");
	int i;

	if (!min_order)
		return -ENOENT;
	*min_order = 0;
	for (i = 0; i < ARRAY_SIZE(folders); i++) {
		bool *ignore = ktcp_kunit_setting(folders[i], "ignore-gfp-wait");
		unsigned long *verbose = ktcp_kunit_setting(folders[i], "verbose");

		if (!ignore || !verbose)
			return -ENOENT;
		*ignore = false;
		*verbose = 0;
	}
	return 0;
}

/*
 * Suppresses the log: when the kernel has no memory for a stack, it prints the state of
 * all its memory. The level of the console does not help: it is applied when a message
 * is printed, some time after it was written. A module cannot suppress the log: tests
 * that load the suites as a module ignore such messages.
 */
void ktcp_kunit_fault_quiet(bool quiet)
{
#ifndef MODULE
	suppress_printk = quiet;
#endif
}

void ktcp_kunit_fault_arm(unsigned int nth)
{
	WRITE_ONCE(current->fail_nth, nth);
}

/* Arms all tasks whose name begins with the prefix; returns their number. */
unsigned int ktcp_kunit_fault_arm_tasks(const char *prefix, unsigned int nth)
{
	struct task_struct *leader, *task;
	unsigned int count = 0;

	rcu_read_lock();
	for_each_process_thread(leader, task) {
		if (!strstarts(task->comm, prefix))
			continue;
		WRITE_ONCE(task->fail_nth, nth);
		count++;
	}
	rcu_read_unlock();
	return count;
}

/* Disarms all tasks; returns whether an allocation had still to fail. */
bool ktcp_kunit_fault_disarm(void)
{
	struct task_struct *leader, *task;
	bool armed = false;

	rcu_read_lock();
	for_each_process_thread(leader, task)
		armed |= xchg(&task->fail_nth, 0) != 0;
	rcu_read_unlock();
	return armed;
}

/* Returns the number of tasks whose name begins with the prefix. */
unsigned int ktcp_kunit_tasks(const char *prefix)
{
	struct task_struct *leader, *task;
	unsigned int count = 0;

	rcu_read_lock();
	for_each_process_thread(leader, task)
		count += strstarts(task->comm, prefix) &&
			 !(READ_ONCE(task->flags) & PF_EXITING);
	rcu_read_unlock();
	return count;
}

/* Returns the number of sockets. */
int ktcp_kunit_sockets(void)
{
	return sock_inuse_get(&init_net);
}

MODULE_AUTHOR("The ktcp_server authors");
MODULE_DESCRIPTION("KUnit tests of the TCP server library");
MODULE_LICENSE("GPL");
