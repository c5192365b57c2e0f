// SPDX-License-Identifier: GPL-2.0
/* Claims sockets that are not yet accepted, as a BPF sockmap does. */

#include <linux/errno.h>
#include <linux/in.h>
#include <net/inet_hashtables.h>
#include <net/sock.h>

#include "kunit.h"

/*
 * Claims all newcomers to a listening socket at 127.0.0.1 from now on, or no more: accepted
 * sockets inherit the pointer of the listening one.
 */
int ktcp_kunit_claim(u16 port, bool claimed)
{
	static long claimant;
	struct sock *sk;

	rcu_read_lock();
	sk = __inet_lookup_listener(&init_net, NULL, 0, 0, 0, htonl(INADDR_LOOPBACK), port,
				    0, 0);
	if (sk) {
		write_lock_bh(&sk->sk_callback_lock);
		sk->sk_user_data = claimed ? &claimant : NULL;
		write_unlock_bh(&sk->sk_callback_lock);
	}
	rcu_read_unlock();
	return sk ? 0 : -ENOENT;
}
