/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Access to the socket of a stream under its lock: the socket lock for callers that
 * may sleep, otherwise the spinlock beneath it, with softirqs disabled. TCP itself
 * uses the spinlock in softirq context, and so does MPTCP on its subflows.
 */
#ifndef KTCP_LOCKED_H
#define KTCP_LOCKED_H

#include <linux/net.h>
#include <linux/skbuff.h>
#include <net/tcp.h>

/* True for plain TCP, whose internal functions are used here; false for MPTCP. */
static inline bool ktcp_is_plain_tcp(const struct socket *sock)
{
	const struct proto_ops *ops = READ_ONCE(sock->ops);

	return ops->read_sock == tcp_read_sock &&
	       ops->sendmsg_locked == tcp_sendmsg_locked;
}

/*
 * Returns false, without the lock, if the socket is not plain TCP, or if a task
 * owns it and atomic is true.
 */
static inline bool ktcp_lock(struct socket *sock, bool atomic)
{
	struct sock *sk = sock->sk;

	if (unlikely(!ktcp_is_plain_tcp(sock)))
		return false;
	if (!atomic) {
		lock_sock(sk);
		return true;
	}
	bh_lock_sock(sk);
	if (likely(!sock_owned_by_user(sk)))
		return true;
	bh_unlock_sock(sk);
	return false;
}

static inline void ktcp_unlock(struct socket *sock, bool atomic)
{
	if (atomic)
		bh_unlock_sock(sock->sk);
	else
		release_sock(sock->sk);
}

/* Returns true if there are bytes, the end of the stream or an error to receive. */
static inline bool ktcp_has_more(const struct sock *sk)
{
	return !skb_queue_empty(&sk->sk_receive_queue) || sk->sk_err ||
	       sk->sk_shutdown & RCV_SHUTDOWN || sk->sk_state == TCP_CLOSE;
}

/* Sets only the members that are read: clearing the whole struct costs more. */
static inline void ktcp_init_msg(struct msghdr *msg, unsigned int flags)
{
	msg->msg_name = NULL;
	msg->msg_namelen = 0;
	msg->msg_control = NULL;
	msg->msg_controllen = 0;
	msg->msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL | flags;
	msg->msg_ubuf = NULL;
	msg->sg_from_iter = NULL;
}

int ktcp_sendmsg_atomic(struct socket *sock, struct page_frag *frag,
			struct msghdr *msg, size_t len);

#endif /* KTCP_LOCKED_H */
