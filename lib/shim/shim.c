// SPDX-License-Identifier: GPL-2.0

#include <linux/cpumask.h>
#include <linux/kobject.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/notifier.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/sched/isolation.h>
#include <linux/string.h>
#include <linux/topology.h>
#include <uapi/linux/sched/types.h>
#include <linux/workqueue.h>
#include <net/net_namespace.h>

#include "shim.h"

struct net *ktcp_get_net(struct net *net)
{
	return get_net(net);
}
EXPORT_SYMBOL_GPL(ktcp_get_net);

/* NULL when the task is exiting and has left its namespaces already. */
struct net *ktcp_get_current_net(void)
{
	struct nsproxy *nsproxy = current->nsproxy;

	return nsproxy ? get_net(nsproxy->net_ns) : NULL;
}
EXPORT_SYMBOL_GPL(ktcp_get_current_net);

void ktcp_put_net(struct net *net)
{
	put_net(net);
}
EXPORT_SYMBOL_GPL(ktcp_put_net);

bool ktcp_cpu_present(unsigned int cpu)
{
	return cpu < nr_cpu_ids && cpu_present(cpu);
}
EXPORT_SYMBOL_GPL(ktcp_cpu_present);

/* Neither isolcpus=, nohz_full= nor an isolated cpuset keeps the kernel's own work off. */
bool ktcp_cpu_is_housekeeping(unsigned int cpu)
{
	return cpu < nr_cpu_ids && housekeeping_test_cpu(cpu, HK_TYPE_DOMAIN) &&
	       housekeeping_test_cpu(cpu, HK_TYPE_KERNEL_NOISE);
}
EXPORT_SYMBOL_GPL(ktcp_cpu_is_housekeeping);

/*
 * As kthread_stop() does, without its waiting: what the thread waits for in a way that
 * signals can interrupt fails now, and whatever it waits for later.
 */
void ktcp_interrupt_kthread(struct task_struct *task)
{
	set_tsk_thread_flag(task, TIF_NOTIFY_SIGNAL);
	wake_up_process(task);
}
EXPORT_SYMBOL_GPL(ktcp_interrupt_kthread);

/* Undoes that, by the task itself: what it waits for from now on is waited for. */
void ktcp_clear_interrupt(void)
{
	clear_tsk_thread_flag(current, TIF_NOTIFY_SIGNAL);
}
EXPORT_SYMBOL_GPL(ktcp_clear_interrupt);

/*
 * What the current task was made with, if it is a kernel thread that runs
 * @function; else NULL. In a task that may sleep: in an interrupt, the current task
 * is another's.
 */
void *ktcp_kthread_data(int (*function)(void *data))
{
	if (!(current->flags & PF_KTHREAD) || kthread_func(current) != function)
		return NULL;
	return kthread_data(current);
}
EXPORT_SYMBOL_GPL(ktcp_kthread_data);

bool ktcp_in_kernel_thread(void)
{
	return current->flags & PF_KTHREAD;
}
EXPORT_SYMBOL_GPL(ktcp_in_kernel_thread);

/* Whether the current task runs an item of some workqueue. */
bool ktcp_in_worker(void)
{
	return current->flags & PF_WQ_WORKER;
}
EXPORT_SYMBOL_GPL(ktcp_in_worker);

/* Whether something of it may still be started. Built-in code has no module. */
bool ktcp_module_is_live(struct module *module)
{
#ifdef CONFIG_MODULES
	return !module || module_is_live(module);
#else
	return true;
#endif
}
EXPORT_SYMBOL_GPL(ktcp_module_is_live);

/*
 * Keeps the memory of a module that is going until ktcp_release_module(): in
 * free_module(), before anything of it is freed, mod_kobject_put() waits for the
 * last reference on its kobject. False where there is none, be it that modules
 * have no kobjects or that this one has failed to load: load_module() frees it then
 * without waiting, and the caller has to be done before it lets the module go on.
 */
bool ktcp_hold_module(struct module *module)
{
#if defined(CONFIG_MODULES) && defined(CONFIG_SYSFS)
	return kobject_get_unless_zero(&module->mkobj.kobj);
#else
	return false;
#endif
}
EXPORT_SYMBOL_GPL(ktcp_hold_module);

/* May sleep. The module must not be used after this. */
void ktcp_release_module(struct module *module)
{
#if defined(CONFIG_MODULES) && defined(CONFIG_SYSFS)
	kobject_put(&module->mkobj.kobj);
#endif
}
EXPORT_SYMBOL_GPL(ktcp_release_module);

/*
 * Whether code at that address is gone when the module is, and not before. Without a
 * module: whether it is built in, as we have to be for that.
 */
bool ktcp_module_has(const struct module *module, const void *code)
{
	if (module)
		return within_module_core((unsigned long)code, module);
#ifdef MODULE
	return false;
#else
	return !is_module_address((unsigned long)code);
#endif
}
EXPORT_SYMBOL_GPL(ktcp_module_has);

/* What comes before schedule(); a condition checked in between is not missed. */
void ktcp_prepare_to_park(void)
{
	set_current_state(TASK_IDLE);
}
EXPORT_SYMBOL_GPL(ktcp_prepare_to_park);

void ktcp_finish_park(void)
{
	__set_current_state(TASK_RUNNING);
}
EXPORT_SYMBOL_GPL(ktcp_finish_park);

/*
 * A thread that was not woken yet runs on that CPU from then on: elsewhere while it is
 * offline, and on it again when it is back. May sleep.
 */
int ktcp_prefer_cpu(struct task_struct *task, unsigned int cpu)
{
	return kthread_affine_preferred(task, cpumask_of(cpu));
}
EXPORT_SYMBOL_GPL(ktcp_prefer_cpu);

/* Until a CPU comes online, when the kernel looks at preferences again. May sleep. */
void ktcp_unbind_kthread(struct task_struct *task)
{
	set_cpus_allowed_ptr(task, cpu_possible_mask);
}
EXPORT_SYMBOL_GPL(ktcp_unbind_kthread);

/* The current task does not interrupt others when it is woken. */
void ktcp_sched_batch(void)
{
	struct sched_attr attr = {
		.size = sizeof(attr),
		.sched_policy = SCHED_BATCH,
	};

	sched_setattr_nocheck(current, &attr);
}
EXPORT_SYMBOL_GPL(ktcp_sched_batch);

/* For the sake of the memory: a compiler may leave out a plain memset(). */
void ktcp_wipe(void *memory, size_t len)
{
	memzero_explicit(memory, len);
}
EXPORT_SYMBOL_GPL(ktcp_wipe);

/*
 * Built in, parameters are set before anything of the library is initialised. Held in
 * whatever context a parameter is read, and for the time of a copy: so it is a raw one.
 */
static DEFINE_RAW_SPINLOCK(ktcp_param_lock);

/* Copies the value of a parameter from or to where it is kept, as a whole. */
void ktcp_param_copy(void *to, const void *from, size_t len)
{
	guard(raw_spinlock_irqsave)(&ktcp_param_lock);
	memcpy(to, from, len);
}
EXPORT_SYMBOL_GPL(ktcp_param_copy);

/* alloc_workqueue() is a macro. */
struct workqueue_struct *ktcp_alloc_wide_workqueue(const char *name, int max_active)
{
	return alloc_workqueue("%s", WQ_UNBOUND, max_active, name);
}
EXPORT_SYMBOL_GPL(ktcp_alloc_wide_workqueue);

/*
 * How many items of such a queue surely run at once. A node has a part of max_active, in
 * proportion to its CPUs, but WQ_DFL_MIN_ACTIVE at least: wq_update_node_max_active().
 * Half of the smallest part, for CPUs may go offline later and make it smaller.
 */
unsigned int ktcp_surely_active(unsigned int max_active)
{
	unsigned int least = UINT_MAX, all = 0;
	unsigned int share = 0;
	unsigned int cpu;
	int node;

	if (nr_node_ids == 1)
		return max_active;
	for_each_online_node(node) {
		unsigned int cpus = 0;

		for_each_online_cpu(cpu)
			cpus += cpu_to_node(cpu) == node && ktcp_cpu_is_housekeeping(cpu);
		if (cpus)
			least = min(least, cpus);
		all += cpus;
	}
	if (all)
		share = max_active * least / all / 2;
	return clamp(share, min(max_active, WQ_DFL_MIN_ACTIVE), max_active);
}
EXPORT_SYMBOL_GPL(ktcp_surely_active);

/*
 * A module that goes must not leave a server behind that runs its code. That is seen
 * to elsewhere: who waits here for a handler holds up every module that is loaded or
 * unloaded, and perhaps the one that the handler waits for.
 */
static int ktcp_module_event(struct notifier_block *block, unsigned long event,
			     void *module)
{
	if (event == MODULE_STATE_GOING)
		ktcp_module_going(module);
	return NOTIFY_OK;
}

static struct notifier_block ktcp_module_notifier = {
	.notifier_call = ktcp_module_event,
};

static int __init ktcp_init(void)
{
	int err = ktcp_library_init();

	if (err)
		return err;
	err = register_module_notifier(&ktcp_module_notifier);
	if (err)
		ktcp_library_exit();
	return err;
}

static void __exit ktcp_exit(void)
{
	unregister_module_notifier(&ktcp_module_notifier);
	ktcp_library_exit();
	ktcp_softirqs_exit();
}

/* Built in, ahead of the servers that are built in. */
subsys_initcall(ktcp_init);
module_exit(ktcp_exit);

MODULE_AUTHOR("The ktcp_server authors");
MODULE_DESCRIPTION("TCP servers inside the kernel, for modules in Rust");
MODULE_LICENSE("GPL");
