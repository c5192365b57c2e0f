// SPDX-License-Identifier: GPL-2.0
/* Closes a listener under its owner, as `ss -K` and BPF programs do. */

#include <linux/errno.h>
#include <linux/in.h>
#include <net/inet_hashtables.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "kunit.h"

/* Ends a listening socket at 127.0.0.1 under its owner. Sleeps. */
int ktcp_kunit_abort_listener(u16 port)
{
	struct sock *sk;
	int err;

	rcu_read_lock();
	sk = __inet_lookup_listener(&init_net, NULL, 0, 0, 0, htonl(INADDR_LOOPBACK), port,
				    0, 0);
	if (sk && !refcount_inc_not_zero(&sk->sk_refcnt))
		sk = NULL;
	rcu_read_unlock();
	if (!sk)
		return -ENOENT;
	err = tcp_abort(sk, ECONNABORTED);
	sock_put(sk);
	return err;
}
