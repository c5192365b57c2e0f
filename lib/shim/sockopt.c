// SPDX-License-Identifier: GPL-2.0
/*
 * setsockopt(2), getsockopt(2) and listen(2) with values in kernel memory, and a lock
 * subclass for lockdep.
 */

#include <linux/export.h>
#include <linux/in6.h>
#include <linux/net.h>
#include <linux/sockptr.h>
#include <linux/tcp.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "shim.h"

/*
 * MPTCP takes the lock of a subflow, which is a kernel socket, while it holds its
 * own. If its own is that of a kernel socket, too, lockdep reports recursive
 * locking. So this socket gets a subclass that MPTCP does not use. With a class of
 * our own (see mptcp_pm_nl_create_listen_socket()) the socket would hold the module
 * until it is freed, a minute after its close.
 *
 * Must be called before other code knows the socket.
 */
void ktcp_mptcp_lock_class(struct socket *sock)
{
#ifdef CONFIG_DEBUG_LOCK_ALLOC
	const int subclass = SINGLE_DEPTH_NESTING + 1;
	struct sock *sk = sock->sk;

	lockdep_set_subclass(&sk->sk_lock.slock, subclass);
	lockdep_set_subclass(&sk->sk_lock, subclass);
	/*
	 * Accepted sockets are clones; they then get the lock classes of user
	 * space.
	 */
	sk->sk_kern_sock = 0;
#endif
}
EXPORT_SYMBOL_GPL(ktcp_mptcp_lock_class);

/* The value is only read: the cast is there because sockptr_t has no const form. */
int ktcp_setsockopt(struct socket *sock, int level, int name, const void *value,
		    unsigned int len)
{
	sockptr_t optval = KERNEL_SOCKPTR((void *)value);

	/* MPTCP handles SOL_SOCKET itself, to pass options on to its subflows. */
	if (level == SOL_SOCKET && !test_bit(SOCK_CUSTOM_SOCKOPT, &sock->flags))
		return sock_setsockopt(sock, level, name, optval, len);
	return READ_ONCE(sock->ops)->setsockopt(sock, level, name, optval, len);
}
EXPORT_SYMBOL_GPL(ktcp_setsockopt);

/* At protocol levels, getsockopt() of the kernel writes to user space only. */
static int ktcp_getsockopt_tcp(struct sock *sk, int name, int *value)
{
	const struct tcp_sock *tp = tcp_sk(sk);

	switch (name) {
	case TCP_NODELAY:
		*value = !!(tp->nonagle & TCP_NAGLE_OFF);
		return 0;
	case TCP_KEEPIDLE:
		*value = keepalive_time_when(tp) / HZ;
		return 0;
	case TCP_KEEPINTVL:
		*value = keepalive_intvl_when(tp) / HZ;
		return 0;
	case TCP_KEEPCNT:
		*value = keepalive_probes(tp);
		return 0;
	case TCP_USER_TIMEOUT:
		*value = READ_ONCE(inet_csk(sk)->icsk_user_timeout);
		return 0;
	default:
		return -ENOPROTOOPT;
	}
}

int ktcp_getsockopt(struct socket *sock, int level, int name, int *value)
{
	struct sock *sk = sock->sk;
	int len = sizeof(*value);

	switch (level) {
	case SOL_SOCKET:
		return do_sock_getsockopt(sock, true, level, name,
					  KERNEL_SOCKPTR(value),
					  KERNEL_SOCKPTR(&len));
	case SOL_TCP:
		if (sk->sk_protocol != IPPROTO_TCP)
			return -EOPNOTSUPP;
		return ktcp_getsockopt_tcp(sk, name, value);
	default:
		return -ENOPROTOOPT;
	}
}
EXPORT_SYMBOL_GPL(ktcp_getsockopt);

/* kernel_listen() leaves it to system calls to keep to net.core.somaxconn. */
int ktcp_listen(struct socket *sock, int backlog)
{
	return kernel_listen(sock, min(backlog,
				       READ_ONCE(sock_net(sock->sk)->core.sysctl_somaxconn)));
}
EXPORT_SYMBOL_GPL(ktcp_listen);
