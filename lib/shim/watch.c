// SPDX-License-Identifier: GPL-2.0
/*
 * Calls Rust when a socket becomes ready. The callbacks run in softirq context, or
 * in the task that processes the socket's backlog, and must not sleep.
 */

#include <linux/export.h>
#include <linux/net.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "shim.h"

static void ktcp_watch_event(struct sock *sk)
{
	struct ktcp_watch *watch;

	bool off = in_softirq();

	/*
	 * Softirqs are enabled in a task that processes the backlog, and disabled
	 * in all other callers.
	 */
	if (unlikely(!off))
		local_bh_disable();
	/* Excludes ktcp_unwatch(), so the watch stays valid while the lock is held. */
	read_lock(&sk->sk_callback_lock);
	watch = sk->sk_user_data;
	/* The caller may have read the callback before ktcp_unwatch() restored it. */
	if (likely(watch && sk->sk_data_ready == ktcp_watch_event))
		watch->event(watch->data);
	read_unlock(&sk->sk_callback_lock);
	if (unlikely(!off))
		local_bh_enable();
}

static void ktcp_watch_write_space(struct sock *sk)
{
	struct socket *sock = sk->sk_socket;

	/* Like sk_stream_write_space(): not for each byte that is acknowledged. */
	if (!sock || !sk_stream_is_writeable(sk) ||
	    !test_bit(SOCK_NOSPACE, &sock->flags))
		return;
	clear_bit(SOCK_NOSPACE, &sock->flags);
	ktcp_watch_event(sk);
}

/*
 * Reports only events after this call: the caller has to check for earlier ones.
 * -EBUSY if another user has claimed the socket, such as a BPF sockmap.
 */
int ktcp_watch(struct socket *sock, struct ktcp_watch *watch)
{
	struct sock *sk = sock->sk;

	write_lock_bh(&sk->sk_callback_lock);
	if (sk->sk_user_data) {
		write_unlock_bh(&sk->sk_callback_lock);
		return -EBUSY;
	}
	watch->data_ready = sk->sk_data_ready;
	watch->write_space = sk->sk_write_space;
	watch->state_change = sk->sk_state_change;
	sk->sk_user_data = watch;
	sk->sk_data_ready = ktcp_watch_event;
	sk->sk_write_space = ktcp_watch_write_space;
	sk->sk_state_change = ktcp_watch_event;
	write_unlock_bh(&sk->sk_callback_lock);
	return 0;
}
EXPORT_SYMBOL_GPL(ktcp_watch);

/*
 * Until this call the watch claims the socket: other users check sk_user_data as
 * ktcp_watch() does. After it returns, no callback uses the watch.
 */
void ktcp_unwatch(struct socket *sock, struct ktcp_watch *watch)
{
	struct sock *sk = sock->sk;

	write_lock_bh(&sk->sk_callback_lock);
	sk->sk_data_ready = watch->data_ready;
	sk->sk_write_space = watch->write_space;
	sk->sk_state_change = watch->state_change;
	sk->sk_user_data = NULL;
	write_unlock_bh(&sk->sk_callback_lock);
}
EXPORT_SYMBOL_GPL(ktcp_unwatch);

/* Returns true if the next recvmsg() will report the end of the stream or an error. */
bool ktcp_sock_ended(const struct socket *sock)
{
	const struct sock *sk = sock->sk;

	return READ_ONCE(sk->sk_err) ||
	       (READ_ONCE(sk->sk_shutdown) & RCV_SHUTDOWN);
}
EXPORT_SYMBOL_GPL(ktcp_sock_ended);

/*
 * Returns 1 once the peer has acknowledged all that was sent and the end of the stream,
 * and 0 as long as it has not; or the error with which the connection has ended before
 * that. -ENOMEM: shutting down found no memory for the end of the stream, and TCP does not
 * try again.
 */
int ktcp_sock_delivered(const struct socket *sock)
{
	struct sock *sk = sock->sk;
	int delivered = 0;

	/* What is acknowledged and the state change together. */
	lock_sock(sk);
	switch (sk->sk_state) {
	case TCP_FIN_WAIT2:
	case TCP_TIME_WAIT:
		delivered = 1;
		break;
	case TCP_CLOSE:
		delivered = -READ_ONCE(sk->sk_err) ?: 1;
		break;
	case TCP_FIN_WAIT1:
	case TCP_CLOSING:
	case TCP_LAST_ACK:
		if (sk->sk_protocol == IPPROTO_TCP &&
		    tcp_sk(sk)->snd_una == tcp_sk(sk)->write_seq)
			delivered = -ENOMEM;
		break;
	}
	release_sock(sk);
	return delivered;
}
EXPORT_SYMBOL_GPL(ktcp_sock_delivered);

/* Returns true if the peer has acknowledged all bytes that were sent, as far as TCP tells. */
bool ktcp_sock_all_acked(const struct socket *sock)
{
	const struct sock *sk = sock->sk;

	return sk->sk_protocol == IPPROTO_TCP &&
	       READ_ONCE(tcp_sk(sk)->snd_una) == READ_ONCE(tcp_sk(sk)->write_seq);
}
EXPORT_SYMBOL_GPL(ktcp_sock_all_acked);

struct sock *ktcp_hold_sock(const struct socket *sock)
{
	sock_hold(sock->sk);
	return sock->sk;
}
EXPORT_SYMBOL_GPL(ktcp_hold_sock);

void ktcp_put_sock(struct sock *sk)
{
	sock_put(sk);
}
EXPORT_SYMBOL_GPL(ktcp_put_sock);

/* A number that changes when the peer acknowledges something, and stays while it does not. */
u32 ktcp_sock_acked(const struct sock *sk)
{
	if (sk->sk_protocol == IPPROTO_TCP)
		return READ_ONCE(tcp_sk(sk)->snd_una);
	/* MPTCP keeps its own to itself: what is acknowledged is taken out of the queue. */
	return READ_ONCE(sk->sk_wmem_queued);
}
EXPORT_SYMBOL_GPL(ktcp_sock_acked);
