// SPDX-License-Identifier: GPL-2.0
/*
 * Making sockets that belong to the kernel, and not to the task that happens to make them.
 */

#include <linux/bpf-cgroup.h>
#include <linux/export.h>
#include <linux/in.h>
#include <linux/net.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/workqueue.h>
#include <net/sock.h>

#include "shim.h"

struct ktcp_creation {
	struct work_struct work;
	struct net *net;
	int family;
	int protocol;
	struct socket *sock;
	int err;
};

static void ktcp_create(struct work_struct *work)
{
	struct ktcp_creation *this = container_of(work, struct ktcp_creation, work);

	this->err = sock_create_kern(this->net, this->family, SOCK_STREAM, this->protocol,
				     &this->sock);
}

/*
 * A socket belongs to the control group of the task that makes it, and so do those that it accepts:
 * the filters and limits of that group hold for them, and the group cannot go before them. A process
 * that loads a module has a worker make it, which is in the root group. May sleep.
 */
int ktcp_sock_create(struct net *net, int family, int protocol, struct socket **sock)
{
	struct ktcp_creation this = {
		.net = net,
		.family = family,
		.protocol = protocol,
	};

	if (current->flags & PF_KTHREAD)
		return sock_create_kern(net, family, SOCK_STREAM, protocol, sock);
	INIT_WORK_ONSTACK(&this.work, ktcp_create);
	queue_work(system_dfl_wq, &this.work);
	flush_work(&this.work);
	destroy_work_on_stack(&this.work);
	*sock = this.sock;
	return this.err;
}
EXPORT_SYMBOL_GPL(ktcp_sock_create);

/*
 * Writes the name of the device, as of a VRF, that a TCP socket is bound to when the current process
 * makes it, be it by a program of its control group: see ip-vrf(8). The name is empty if it is bound to
 * none, and if the group forbids sockets, which does not concern those of the kernel. May sleep.
 */
int ktcp_current_device(int family, char *name)
{
	int err = 0;

	name[0] = '\0';
#ifdef CONFIG_CGROUP_BPF
	struct net_device *dev;
	struct socket *sock;
	int index;

	if (current->flags & PF_KTHREAD || !cgroup_bpf_enabled(CGROUP_INET_SOCK_CREATE))
		return 0;
	err = sock_create(family, SOCK_STREAM, IPPROTO_TCP, &sock);
	if (err)
		return err == -EPERM || err == -EACCES ? 0 : err;
	index = READ_ONCE(sock->sk->sk_bound_dev_if);
	if (index) {
		rtnl_lock();
		dev = __dev_get_by_index(sock_net(sock->sk), index);
		if (dev)
			strscpy(name, dev->name, IFNAMSIZ);
		else
			err = -ENODEV;
		rtnl_unlock();
	}
	sock_release(sock);
#endif
	return err;
}
EXPORT_SYMBOL_GPL(ktcp_current_device);
