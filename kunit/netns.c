// SPDX-License-Identifier: GPL-2.0
/* Network namespaces for tests, and a way to cut the connections within one. */

#include <linux/netdevice.h>
#include <linux/nsproxy.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/syscalls.h>
#include <net/net_namespace.h>

#include "kunit.h"

/* Returns the network namespace of the current task. */
static struct net *ktcp_kunit_net(void)
{
	return current->nsproxy->net_ns;
}

/*
 * Moves the current task into a new namespace, whose loopback device is up. Stores the
 * cookie of the namespace.
 */
int ktcp_kunit_unshare_net(u64 *cookie)
{
	int err = ksys_unshare(CLONE_NEWNET);

	if (err)
		return err;
	*cookie = ktcp_kunit_net()->net_cookie;
	return ktcp_kunit_net_up(*cookie, true);
}

/* Returns whether the namespace still exists. */
bool ktcp_kunit_net_exists(u64 cookie)
{
	struct net *net;
	bool found = false;

	down_read(&net_rwsem);
	for_each_net(net)
		found |= net->net_cookie == cookie;
	up_read(&net_rwsem);
	return found;
}

/* Brings its loopback device up, or down, so that nothing arrives there any more. */
int ktcp_kunit_net_up(u64 cookie, bool up)
{
	struct net_device *dev;
	struct net *net;
	int err = -ENODEV;

	rtnl_lock();
	down_read(&net_rwsem);
	for_each_net(net) {
		if (net->net_cookie != cookie)
			continue;
		dev = __dev_get_by_name(net, "lo");
		if (dev)
			err = dev_change_flags(dev, up ? dev->flags | IFF_UP :
					       dev->flags & ~IFF_UP, NULL);
	}
	up_read(&net_rwsem);
	rtnl_unlock();
	return err;
}
