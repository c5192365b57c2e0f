// SPDX-License-Identifier: GPL-2.0

#include <linux/module.h>
#include <linux/net.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <linux/sockptr.h>
#include <linux/string.h>
#include <net/net_namespace.h>
#include <net/sock.h>

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

/* What setsockopt(2) does, for a value in kernel memory. */
int ktcp_setsockopt(struct socket *sock, int level, int name, void *value,
		    unsigned int len)
{
	sockptr_t optval = KERNEL_SOCKPTR(value);

	if (level == SOL_SOCKET)
		return sock_setsockopt(sock, level, name, optval, len);
	return READ_ONCE(sock->ops)->setsockopt(sock, level, name, optval, len);
}
EXPORT_SYMBOL_GPL(ktcp_setsockopt);

/* For the sake of the memory: a compiler may leave out a plain memset(). */
void ktcp_wipe(void *memory, size_t len)
{
	memzero_explicit(memory, len);
}
EXPORT_SYMBOL_GPL(ktcp_wipe);

MODULE_AUTHOR("The ktcp_server authors");
MODULE_DESCRIPTION("TCP servers inside the kernel, for modules in Rust");
MODULE_LICENSE("GPL");
