// SPDX-License-Identifier: GPL-2.0
/*
 * For tests: without user space only this brings the loopback device up. And suites
 * that are modules simulate the end of a module.
 */

#include <linux/export.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <net/net_namespace.h>

#include "shim.h"

int ktcp_kunit_loopback_up(void)
{
	struct net_device *dev;
	int err = -ENODEV;

	rtnl_lock();
	dev = __dev_get_by_name(&init_net, "lo");
	if (dev)
		err = dev_change_flags(dev, dev->flags | IFF_UP, NULL);
	rtnl_unlock();
	return err;
}
EXPORT_SYMBOL_GPL(ktcp_kunit_loopback_up);

EXPORT_SYMBOL_GPL(ktcp_module_shutdown);
