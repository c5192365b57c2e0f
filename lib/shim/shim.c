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

/* NULL if the task is exiting and has already left its namespaces. */
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

/* As readlink(1) shows it of /proc/PID/ns/net. */
u32 ktcp_net_inode(const struct net *net)
{
	return net->ns.inum;
}
EXPORT_SYMBOL_GPL(ktcp_net_inode);

bool ktcp_cpu_present(unsigned int cpu)
{
	return cpu < nr_cpu_ids && cpu_present(cpu);
}
EXPORT_SYMBOL_GPL(ktcp_cpu_present);

int ktcp_cpu_to_node(unsigned int cpu)
{
	return cpu_to_node(cpu);
}
EXPORT_SYMBOL_GPL(ktcp_cpu_to_node);

/*
 * True if isolcpus=, nohz_full= and isolated cpusets leave the CPU to the kernel's
 * own work.
 */
bool ktcp_cpu_is_housekeeping(unsigned int cpu)
{
	return cpu < nr_cpu_ids && housekeeping_test_cpu(cpu, HK_TYPE_DOMAIN) &&
	       housekeeping_test_cpu(cpu, HK_TYPE_KERNEL_NOISE);
}
EXPORT_SYMBOL_GPL(ktcp_cpu_is_housekeeping);

/*
 * Like kthread_stop(), but without waiting: interruptible waits of the thread fail,
 * now and later.
 */
void ktcp_interrupt_kthread(struct task_struct *task)
{
	set_tsk_thread_flag(task, TIF_NOTIFY_SIGNAL);
	wake_up_process(task);
}
EXPORT_SYMBOL_GPL(ktcp_interrupt_kthread);

/* Reverts ktcp_interrupt_kthread() for the current task: later waits block again. */
void ktcp_clear_interrupt(void)
{
	clear_tsk_thread_flag(current, TIF_NOTIFY_SIGNAL);
}
EXPORT_SYMBOL_GPL(ktcp_clear_interrupt);

/*
 * Returns the data of the current task if it is a kernel thread that runs
 * @function, else NULL. In a task that may sleep: an interrupt borrows an unrelated
 * task.
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

/* Returns true if the current task is a worker of a workqueue. */
bool ktcp_in_worker(void)
{
	return current->flags & PF_WQ_WORKER;
}
EXPORT_SYMBOL_GPL(ktcp_in_worker);

/* Returns the module's name. The caller keeps the module loaded. */
const char *ktcp_module_name(struct module *module)
{
	return module_name(module);
}
EXPORT_SYMBOL_GPL(ktcp_module_name);

/*
 * Returns true if code of the module may still be started. Built-in code has no
 * module.
 */
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
 * free_module(), mod_kobject_put() waits for the last reference to the module's
 * kobject before any memory is freed.
 *
 * Returns false if there is no reference to take: modules have no kobjects, or this
 * module has failed to load. load_module() then frees the module without waiting,
 * so the caller must finish before it returns to the notifier.
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
 * Returns true if the code is freed with the module, and not before. With a null
 * module: if it is built in, which requires this library to be built in.
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

/* Precedes schedule(): a wake-up after this call is not lost. */
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
 * Makes a thread that was not woken yet prefer the CPU: it runs there while that is
 * online, and elsewhere otherwise. May sleep.
 */
int ktcp_prefer_cpu(struct task_struct *task, unsigned int cpu)
{
	return kthread_affine_preferred(task, cpumask_of(cpu));
}
EXPORT_SYMBOL_GPL(ktcp_prefer_cpu);

/*
 * Lets the thread run on any CPU. When a CPU comes online, the kernel applies
 * preferences again. May sleep.
 */
void ktcp_unbind_kthread(struct task_struct *task)
{
	set_cpus_allowed_ptr(task, cpu_possible_mask);
}
EXPORT_SYMBOL_GPL(ktcp_unbind_kthread);

/* From now on the current task does not preempt others when it is woken. */
void ktcp_sched_batch(void)
{
	struct sched_attr attr = {
		.size = sizeof(attr),
		.sched_policy = SCHED_BATCH,
	};

	sched_setattr_nocheck(current, &attr);
}
EXPORT_SYMBOL_GPL(ktcp_sched_batch);

/* A compiler may omit a plain memset() before the memory is freed. */
void ktcp_wipe(void *memory, size_t len)
{
	memzero_explicit(memory, len);
}
EXPORT_SYMBOL_GPL(ktcp_wipe);

/*
 * Static, because built-in parameters are set before the library is initialised.
 * Raw, because it is taken in any context in which a parameter is read, and held
 * only for a copy.
 */
static DEFINE_RAW_SPINLOCK(ktcp_param_lock);

/* Copies the value of a parameter from or to its storage as a whole. */
void ktcp_param_copy(void *to, const void *from, size_t len)
{
	guard(raw_spinlock_irqsave)(&ktcp_param_lock);
	memcpy(to, from, len);
}
EXPORT_SYMBOL_GPL(ktcp_param_copy);

/* Needed because alloc_workqueue() is a macro. */
struct workqueue_struct *ktcp_alloc_wide_workqueue(const char *name, int max_active)
{
	return alloc_workqueue("%s", WQ_UNBOUND, max_active, name);
}
EXPORT_SYMBOL_GPL(ktcp_alloc_wide_workqueue);

/*
 * Returns how many items of such a queue can run at once in any case. A node has a
 * share of max_active in proportion to its CPUs, but at least WQ_DFL_MIN_ACTIVE:
 * see wq_update_node_max_active(). The result is half of the smallest share,
 * because CPUs that go offline later make it smaller.
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
 * A module that is unloaded must not leave a server behind that runs its code.
 * ktcp_module_going() leaves the wait for that to a work item if it can: a notifier
 * that waits for a handler blocks the load and unload of all modules, perhaps in
 * the very handler.
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

/* If built in, runs before the servers that are built in. */
subsys_initcall(ktcp_init);
module_exit(ktcp_exit);

MODULE_AUTHOR("The ktcp_server authors");
MODULE_DESCRIPTION("TCP servers inside the kernel, for modules in Rust");
MODULE_LICENSE("GPL");
