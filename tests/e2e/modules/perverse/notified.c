// SPDX-License-Identifier: GPL-2.0
/*
 * Registers a module notifier: to be loaded and unloaded while another module goes.
 * The semaphore of the notifiers lets no reader in behind the writer that this is.
 */

#include <linux/module.h>
#include <linux/notifier.h>

static int notified(struct notifier_block *block, unsigned long state, void *module)
{
	return NOTIFY_DONE;
}

static struct notifier_block block = {
	.notifier_call = notified,
};

static int __init notified_init(void)
{
	return register_module_notifier(&block);
}

static void __exit notified_exit(void)
{
	unregister_module_notifier(&block);
}

module_init(notified_init);
module_exit(notified_exit);
MODULE_AUTHOR("The ktcp_server authors");
MODULE_DESCRIPTION("Registers a module notifier");
MODULE_LICENSE("GPL");
