// SPDX-License-Identifier: GPL-2.0
/* Options of sockets, read where the kernel keeps them. */

#include <linux/errno.h>
#include <linux/in.h>
#include <linux/if.h>
#include <linux/string.h>
#include <net/inet6_hashtables.h>
#include <net/inet_hashtables.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "kunit.h"

/* That of a listener where the port of the peer is 0; with a reference. */
static struct sock *ktcp_kunit_find(u16 port, u16 peer, bool v6)
{
	const __be32 here = htonl(INADDR_LOOPBACK);
	struct sock *sk;

	rcu_read_lock();
	if (v6 && peer)
		sk = __inet6_lookup_established(&init_net, &in6addr_loopback, htons(peer),
						&in6addr_loopback, port, LOOPBACK_IFINDEX, 0);
	else if (v6)
		sk = inet6_lookup_listener(&init_net, NULL, 0, &in6addr_loopback, 0,
					   &in6addr_loopback, port, LOOPBACK_IFINDEX, 0);
	else if (peer)
		sk = __inet_lookup_established(&init_net, here, htons(peer), here, port,
					       LOOPBACK_IFINDEX, 0);
	else
		sk = __inet_lookup_listener(&init_net, NULL, 0, here, 0, here, port,
					    LOOPBACK_IFINDEX, 0);
	/* A lookup of an established one has taken the reference already. */
	if (sk && !peer && !refcount_inc_not_zero(&sk->sk_refcnt))
		sk = NULL;
	rcu_read_unlock();
	return sk;
}

/* What is set of the socket at the loopback address, be it a listener (peer 0) or a connection. */
int ktcp_kunit_socket_settings(u16 port, u16 peer, bool v6, struct ktcp_kunit_settings *is)
{
	struct sock *sk = ktcp_kunit_find(port, peer, v6);
	const struct inet_sock *inet = inet_sk(sk);

	if (!sk)
		return -ENOENT;
	is->max_pacing_rate = READ_ONCE(sk->sk_max_pacing_rate);
	is->mark = READ_ONCE(sk->sk_mark);
	is->priority = READ_ONCE(sk->sk_priority);
	is->notsent_lowat = READ_ONCE(tcp_sk(sk)->notsent_lowat);
	is->max_segment = READ_ONCE(tcp_sk(sk)->rx_opt.user_mss);
	is->backlog = READ_ONCE(sk->sk_max_ack_backlog);
	is->fast_open = READ_ONCE(inet_csk(sk)->icsk_accept_queue.fastopenq.max_qlen);
	is->incoming_cpu = READ_ONCE(sk->sk_incoming_cpu);
	is->tos = READ_ONCE(inet->tos);
	is->min_ttl = READ_ONCE(inet->min_ttl);
	is->tclass = v6 ? inet6_sk(sk)->tclass : 0;
	is->min_hopcount = v6 ? READ_ONCE(inet6_sk(sk)->min_hopcount) : 0;
	is->defer_accept = READ_ONCE(inet_csk(sk)->icsk_accept_queue.rskq_defer_accept);
	is->freebind = inet_test_bit(FREEBIND, sk);
	is->transparent = inet_test_bit(TRANSPARENT, sk);
	is->reno = !strcmp(inet_csk(sk)->icsk_ca_ops->name, "reno");
	sock_put(sk);
	return 0;
}

/* Sets the sysctl net.core.somaxconn, and returns what it was. */
int ktcp_kunit_set_somaxconn(int connections)
{
	return xchg(&init_net.core.sysctl_somaxconn, connections);
}
