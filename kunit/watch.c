// SPDX-License-Identifier: GPL-2.0
/*
 * A socket whose callbacks are called after they were read some time ago, as the kernel
 * does when a watch is taken off meanwhile.
 */

#include <linux/bottom_half.h>
#include <linux/in.h>
#include <linux/net.h>
#include <net/net_namespace.h>
#include <net/sock.h>

#include "../lib/shim/shim.h"
#include "kunit.h"

struct ktcp_kunit_callbacks {
	void (*data_ready)(struct sock *sk);
	void (*write_space)(struct sock *sk);
	void (*state_change)(struct sock *sk);
};

static void ktcp_kunit_count(const void *data)
{
	(*(unsigned int *)data)++;
}

static void ktcp_kunit_call(const struct ktcp_kunit_callbacks *seen, struct sock *sk)
{
	seen->data_ready(sk);
	seen->state_change(sk);
	/* Without a writer that waits for room, the callback would report nothing. */
	set_bit(SOCK_NOSPACE, &sk->sk_socket->flags);
	seen->write_space(sk);
}

/* Calls back once as when a socket's backlog is processed, once as in a softirq. */
static void ktcp_kunit_call_all(const struct ktcp_kunit_callbacks *seen, struct sock *sk)
{
	ktcp_kunit_call(seen, sk);
	local_bh_disable();
	ktcp_kunit_call(seen, sk);
	local_bh_enable();
}

static void ktcp_kunit_set_user_data(struct sock *sk, void *data)
{
	write_lock_bh(&sk->sk_callback_lock);
	sk->sk_user_data = data;
	write_unlock_bh(&sk->sk_callback_lock);
}

/*
 * Counts the events that each user of the socket gets when the callbacks of a watch are
 * called: the watch itself; none, once it is taken off; and another user, who has claimed
 * the socket since.
 */
int ktcp_kunit_late_events(struct ktcp_kunit_told *told)
{
	struct ktcp_watch watch = {
		.event = ktcp_kunit_count,
		.data = &told->watcher,
	};
	/* A pointer of unknown type: the count shows if it is taken for a watch. */
	struct ktcp_watch stranger = {
		.event = ktcp_kunit_count,
		.data = &told->stranger,
	};
	struct ktcp_kunit_callbacks seen;
	struct socket *sock;
	struct sock *sk;
	int err;

	memset(told, 0, sizeof(*told));
	err = sock_create_kern(&init_net, PF_INET, SOCK_STREAM, IPPROTO_TCP, &sock);
	if (err)
		return err;
	sk = sock->sk;
	err = ktcp_watch(sock, &watch);
	if (err)
		goto release;
	seen.data_ready = sk->sk_data_ready;
	seen.write_space = sk->sk_write_space;
	seen.state_change = sk->sk_state_change;
	ktcp_kunit_call_all(&seen, sk);
	told->watched = told->watcher;
	ktcp_unwatch(sock, &watch);
	ktcp_kunit_call_all(&seen, sk);
	ktcp_kunit_set_user_data(sk, &stranger);
	ktcp_kunit_call_all(&seen, sk);
	ktcp_kunit_set_user_data(sk, NULL);
release:
	sock_release(sock);
	return err;
}
