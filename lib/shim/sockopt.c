// SPDX-License-Identifier: GPL-2.0
/*
 * setsockopt(2), getsockopt(2) and listen(2) with values in kernel memory, and a lock
 * subclass for lockdep.
 */

#include <linux/cred.h>
#include <linux/export.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/net.h>
#include <linux/netdevice.h>
#include <linux/sockptr.h>
#include <linux/tcp.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "locked.h"
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

static int ktcp_setsockopt_as_current(struct socket *sock, int level, int name,
				      sockptr_t optval, unsigned int len)
{
	/* MPTCP handles SOL_SOCKET itself, to pass options on to its subflows. */
	if (level == SOL_SOCKET && !test_bit(SOCK_CUSTOM_SOCKOPT, &sock->flags))
		return sock_setsockopt(sock, level, name, optval, len);
	return READ_ONCE(sock->ops)->setsockopt(sock, level, name, optval, len);
}

/*
 * The value is only read: the cast is there because sockptr_t has no const form. The server
 * is the kernel's: what needs a capability does not depend on the task that loads the
 * module, or on the one that listens again.
 */
int ktcp_setsockopt(struct socket *sock, int level, int name, const void *value,
		    unsigned int len)
{
	const struct cred *old = override_creds(kernel_cred());
	int err;

	err = ktcp_setsockopt_as_current(sock, level, name, KERNEL_SOCKPTR((void *)value), len);
	revert_creds(old);
	return err;
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

/*
 * Whether an option of an author's choice leaves a socket what it is. Others change its
 * protocol (TCP_ULP, TCP_REPAIR, IPV6_ADDRFORM), are pointers, or are set by the library.
 */
bool ktcp_may_set_option(unsigned int level, unsigned int name)
{
	switch (level) {
	case SOL_SOCKET:
		return name == SO_RCVBUFFORCE || name == SO_SNDBUFFORCE || name == SO_MARK ||
		       name == SO_PRIORITY || name == SO_BUSY_POLL ||
		       name == SO_PREFER_BUSY_POLL || name == SO_BUSY_POLL_BUDGET ||
		       name == SO_INCOMING_CPU || name == SO_TXREHASH ||
		       name == SO_DONTROUTE || name == SO_DEBUG;
	case SOL_IP:
		return name == IP_TOS || name == IP_TTL || name == IP_MTU_DISCOVER ||
		       name == IP_MINTTL || name == IP_FREEBIND || name == IP_TRANSPARENT ||
		       name == IP_LOCAL_PORT_RANGE || name == IP_BIND_ADDRESS_NO_PORT;
	case SOL_IPV6:
		return name == IPV6_TCLASS || name == IPV6_UNICAST_HOPS ||
		       name == IPV6_MTU_DISCOVER || name == IPV6_MTU ||
		       name == IPV6_DONTFRAG || name == IPV6_MINHOPCOUNT ||
		       name == IPV6_FREEBIND || name == IPV6_TRANSPARENT ||
		       name == IPV6_AUTOFLOWLABEL;
	case SOL_TCP:
		return name == TCP_MAXSEG || name == TCP_SYNCNT || name == TCP_LINGER2 ||
		       name == TCP_WINDOW_CLAMP || name == TCP_DEFER_ACCEPT ||
		       name == TCP_FASTOPEN || name == TCP_FASTOPEN_NO_COOKIE ||
		       name == TCP_NOTSENT_LOWAT || name == TCP_THIN_LINEAR_TIMEOUTS ||
		       name == TCP_TX_DELAY || name == TCP_RTO_MAX_MS ||
		       name == TCP_RTO_MIN_US || name == TCP_DELACK_MAX_US ||
		       name == TCP_SAVE_SYN;
	default:
		return false;
	}
}
EXPORT_SYMBOL_GPL(ktcp_may_set_option);

/* kernel_listen() leaves it to system calls to keep to net.core.somaxconn. */
int ktcp_listen(struct socket *sock, int backlog)
{
	return kernel_listen(sock, min(backlog,
				       READ_ONCE(sock_net(sock->sk)->core.sysctl_somaxconn)));
}
EXPORT_SYMBOL_GPL(ktcp_listen);

/* The number of a device of that name; 0 if there is none. */
unsigned int ktcp_device_index(struct net *net, const char *name)
{
	const struct net_device *dev;

	guard(rcu)();
	dev = dev_get_by_name_rcu(net, name);
	return dev ? dev->ifindex : 0;
}
EXPORT_SYMBOL_GPL(ktcp_device_index);

/*
 * Has TCP look at a user timeout that was just set after @millis at the latest. It looks
 * only when it retransmits or probes, and may have put that off for two minutes before
 * there was a timeout. Not for MPTCP. May sleep.
 */
void ktcp_heed_user_timeout(struct socket *sock, unsigned int millis)
{
	struct sock *sk = sock->sk;
	unsigned long when = msecs_to_jiffies(millis);
	int pending;

	if (!ktcp_lock(sock, false))
		return;
	pending = inet_csk(sk)->icsk_pending;
	if ((pending == ICSK_TIME_RETRANS || pending == ICSK_TIME_PROBE0) &&
	    time_after(tcp_timeout_expires(sk), jiffies + when))
		inet_csk_reset_xmit_timer(sk, pending, when, tcp_rto_max(sk));
	ktcp_unlock(sock, false);
}
EXPORT_SYMBOL_GPL(ktcp_heed_user_timeout);
