// SPDX-License-Identifier: GPL-2.0
/*
 * Receiving and sending without sleeping, with softirqs disabled. -EBUSY means that
 * only a task that may sleep can do it.
 */

#include <linux/bottom_half.h>
#include <linux/export.h>
#include <linux/interrupt.h>
#include <linux/irq_work.h>
#include <linux/net.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/skbuff.h>
#include <linux/uio.h>
#include <net/tcp.h>

#include "locked.h"
#include "shim.h"

void ktcp_softirqs_off(void)
{
	local_bh_disable();
}
EXPORT_SYMBOL_GPL(ktcp_softirqs_off);

#if defined(CONFIG_IRQ_WORK) && !defined(CONFIG_PREEMPT_RT)
/* Empty: softirqs run at the end of the interrupt. */
static void ktcp_no_irq_work(struct irq_work *work)
{
}

static DEFINE_PER_CPU(struct irq_work, ktcp_softirq_kick) =
	IRQ_WORK_INIT_HARD(ktcp_no_irq_work);

static void ktcp_kick_softirqs(void)
{
	if (local_softirq_pending())
		irq_work_queue(this_cpu_ptr(&ktcp_softirq_kick));
}

void ktcp_softirqs_exit(void)
{
	unsigned int cpu;

	for_each_possible_cpu(cpu)
		irq_work_sync(per_cpu_ptr(&ktcp_softirq_kick, cpu));
}
#else
static void ktcp_kick_softirqs(void)
{
}

void ktcp_softirqs_exit(void)
{
}
#endif

void ktcp_softirqs_on(void)
{
	/*
	 * With interrupts disabled, local_bh_enable() would run pending softirqs,
	 * and enable interrupts for that, under the lock for which the caller has
	 * disabled them. The kick makes them run once interrupts are enabled again.
	 * On PREEMPT_RT no lock of the kernel crate disables interrupts.
	 */
	if (!IS_ENABLED(CONFIG_PREEMPT_RT) && unlikely(irqs_disabled())) {
		_local_bh_enable();
		ktcp_kick_softirqs();
		return;
	}
	local_bh_enable();
}
EXPORT_SYMBOL_GPL(ktcp_softirqs_on);

bool ktcp_must_not_sleep(void)
{
	return in_softirq() || irqs_disabled() || preempt_count() ||
	       rcu_preempt_depth();
}
EXPORT_SYMBOL_GPL(ktcp_must_not_sleep);

/* The packet with the first byte to receive, which is at offset. */
struct ktcp_place {
	struct sk_buff *skb;
	u32 offset;
};

static noinline struct ktcp_place ktcp_find_first(struct sock *sk, u32 seq)
{
	struct ktcp_place place;

	place.skb = tcp_recv_skb(sk, seq, &place.offset);
	if (place.skb && place.offset >= place.skb->len)
		place.skb = NULL;
	return place;
}

static __always_inline struct ktcp_place ktcp_first(struct sock *sk)
{
	u32 seq = tcp_sk(sk)->copied_seq;
	struct ktcp_place place = { .skb = skb_peek(&sk->sk_receive_queue) };

	if (!place.skb)
		return place;
	place.offset = seq - TCP_SKB_CB(place.skb)->seq;
	if (unlikely(place.offset >= place.skb->len ||
		     TCP_SKB_CB(place.skb)->tcp_flags & TCPHDR_SYN))
		return ktcp_find_first(sk, seq);
	return place;
}

/* Like skb_copy_bits(), but faster if the bytes are contiguous, as mostly. */
static int ktcp_copy(const struct sk_buff *skb, u32 offset, void *to, u32 len)
{
	u32 head = skb_headlen(skb);
	const skb_frag_t *frag;

	if (head >= offset + len) {
		memcpy(to, skb->data + offset, len);
		return 0;
	}
	frag = &skb_shinfo(skb)->frags[0];
	if (offset < head || !skb_shinfo(skb)->nr_frags ||
	    skb_frag_size(frag) < offset - head + len ||
	    !skb_frags_readable(skb) || skb_frag_must_loop(skb_frag_page(frag)))
		return skb_copy_bits(skb, offset, to, len);
	memcpy(to, skb_frag_address(frag) + offset - head, len);
	return 0;
}

/*
 * Returns the number of bytes received, never 0, and sets *more if there is more to
 * receive. -EAGAIN if there is nothing.
 */
int ktcp_receive_atomic(struct socket *sock, void *buffer, size_t len, bool *more)
{
	struct sock *sk = sock->sk;
	struct ktcp_place first;
	int received = -EBUSY;

	if (!ktcp_lock(sock, true))
		return -EBUSY;
	/* The end of the stream, errors and urgent data are left to recvmsg(). */
	first = ktcp_first(sk);
	if (first.skb && !tcp_sk(sk)->urg_data) {
		received = min_t(size_t, first.skb->len - first.offset, len);
		if (ktcp_copy(first.skb, first.offset, buffer, received))
			received = -EBUSY;
		else
			tcp_read_done(sk, received);
	}
	*more = ktcp_has_more(sk);
	if (!*more && received < 0)
		received = -EAGAIN;
	ktcp_unlock(sock, true);
	return received;
}
EXPORT_SYMBOL_GPL(ktcp_receive_atomic);

/*
 * Sets up the socket to send without sleeping. Bytes are copied to *frag: the task
 * that this softirq interrupts may be using its own fragment, and a fragment for
 * each socket would take 32 KiB of memory.
 */
static __always_inline int ktcp_sendmsg(struct socket *sock, struct page_frag *frag,
					struct msghdr *msg, size_t len)
{
	struct sock *sk = sock->sk;
	bool use_task_frag;
	gfp_t allocation;
	int sent;

	if (!ktcp_lock(sock, true))
		return -EBUSY;
	use_task_frag = sk->sk_use_task_frag;
	allocation = sk->sk_allocation;
	sk->sk_allocation = GFP_ATOMIC;
	sk->sk_use_task_frag = false;
	swap(sk->sk_frag, *frag);
	sent = tcp_sendmsg_locked(sk, msg, len);
	swap(sk->sk_frag, *frag);
	sk->sk_use_task_frag = use_task_frag;
	sk->sk_allocation = allocation;
	/* Out of memory, and no ACK will free any: a task has to wait. */
	if (sent == -EAGAIN && tcp_rtx_and_write_queues_empty(sk))
		sent = -EBUSY;
	ktcp_unlock(sock, true);
	return sent;
}

/* Returns the number of bytes sent. Bytes are copied to *frag. */
int ktcp_sendmsg_atomic(struct socket *sock, struct page_frag *frag,
			struct msghdr *msg, size_t len)
{
	return ktcp_sendmsg(sock, frag, msg, len);
}

int ktcp_send_atomic(struct socket *sock, struct page_frag *frag,
		     const void *data, size_t len)
{
	struct kvec vec = { .iov_base = (void *)data, .iov_len = len };
	/* ktcp_init_msg() sets the members that TCP reads. */
	struct msghdr msg __uninitialized;

	ktcp_init_msg(&msg, 0);
	iov_iter_kvec(&msg.msg_iter, ITER_SOURCE, &vec, 1, len);
	return ktcp_sendmsg(sock, frag, &msg, len);
}
EXPORT_SYMBOL_GPL(ktcp_send_atomic);

void ktcp_page_frag_free(struct page_frag *frag)
{
	if (frag->page)
		put_page(frag->page);
	frag->page = NULL;
}
EXPORT_SYMBOL_GPL(ktcp_page_frag_free);
