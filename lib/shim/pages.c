// SPDX-License-Identifier: GPL-2.0
/*
 * Receiving and sending pages instead of copies, as splice() from one socket to
 * another does.
 */

#include <linux/bvec.h>
#include <linux/export.h>
#include <linux/mm.h>
#include <linux/net.h>
#include <linux/skbuff.h>
#include <linux/uio.h>
#include <net/tcp.h>

#include "locked.h"
#include "shim.h"

/*
 * Returns true if the pages of a packet can be taken, and copying costs more. Over loopback
 * or veth they are those of the sender, which may have given pages to which it can still
 * write (vmsplice, splice, sendfile, MSG_ZEROCOPY): TCP marks them as shared, and code that
 * moves them to another packet keeps the mark.
 */
static bool ktcp_has_pages(struct sk_buff *skb, u32 offset)
{
	u32 len = skb->len - offset;

	return len >= KTCP_PAGES_LEAST && offset >= skb_headlen(skb) &&
	       !skb_has_frag_list(skb) && !skb_zcopy(skb) &&
	       !skb_has_shared_frag(skb) && skb_frags_readable(skb) &&
	       /* A small part must not keep all of the packet's memory in use. */
	       skb->truesize / 4 < skb->len;
}

/*
 * Returns true if only TCP and drivers know of a page. They do not write to the part that
 * they have passed on as long as the page has references: page fragments, page pools. A page
 * of a file, of an anonymous mapping or of a process is not one of these, even if its sender
 * leaves the mark out (MSG_NO_SHARED_FRAGS).
 */
static bool ktcp_is_of_packets(struct page *page)
{
	const struct folio *folio = page_folio(page);

	return sendpage_ok(page) && !READ_ONCE(folio->mapping) && !folio_mapped(folio);
}

/* Takes references to the pages behind offset; returns the number of bytes in them. */
static size_t ktcp_take_pages(struct sk_buff *skb, u32 offset,
			      struct bio_vec *pages, unsigned int room,
			      size_t len, unsigned int *used)
{
	size_t taken = 0;
	unsigned int i;

	offset -= skb_headlen(skb);
	for (i = 0; i < skb_shinfo(skb)->nr_frags && *used < room; i++) {
		const skb_frag_t *frag = &skb_shinfo(skb)->frags[i];
		u32 size = skb_frag_size(frag);
		struct page *page;

		if (offset >= size) {
			offset -= size;
			continue;
		}
		page = skb_frag_page(frag);
		size = min_t(size_t, size - offset, len - taken);
		if (!size || !ktcp_is_of_packets(page))
			break;
		get_page(page);
		bvec_set_page(&pages[(*used)++], page, size,
			      skb_frag_off(frag) + offset);
		taken += size;
		offset = 0;
	}
	return taken;
}

/*
 * Fills pages[] with up to len received bytes, and takes a reference to each page.
 * Returns the number of bytes, and sets *more if there is more to receive. Returns
 * 0 if the bytes have to be copied, or there are none. Softirqs are disabled if
 * atomic is true; then this does not sleep.
 */
int ktcp_receive_pages(struct socket *sock, bool atomic, struct bio_vec *pages,
		       unsigned int room, size_t len, unsigned int *used,
		       bool *more)
{
	struct sock *sk = sock->sk;
	size_t received = 0;

	*used = 0;
	/* An MPTCP socket has another struct, without the members read below. */
	if (!ktcp_is_plain_tcp(sock))
		return 0;
	/* Checked without the lock first, because most receptions are smaller. */
	if (READ_ONCE(tcp_sk(sk)->rcv_nxt) - READ_ONCE(tcp_sk(sk)->copied_seq) <
	    KTCP_PAGES_LEAST)
		return 0;
	if (!ktcp_lock(sock, atomic))
		return 0;
	while (received < len && *used < room) {
		struct sk_buff *skb;
		size_t taken;
		u32 offset;

		skb = tcp_recv_skb(sk, tcp_sk(sk)->copied_seq, &offset);
		if (!skb || offset >= skb->len || tcp_sk(sk)->urg_data ||
		    !ktcp_has_pages(skb, offset))
			break;
		taken = ktcp_take_pages(skb, offset, pages, room, len - received, used);
		if (!taken)
			break;
		tcp_read_done(sk, taken);
		received += taken;
	}
	*more = ktcp_has_more(sk);
	ktcp_unlock(sock, atomic);
	return received;
}
EXPORT_SYMBOL_GPL(ktcp_receive_pages);

/* Sends len bytes of pages[]; returns the number of bytes sent. Contexts as above. */
int ktcp_send_pages(struct socket *sock, struct page_frag *frag, bool atomic,
		    const struct bio_vec *pages, unsigned int count, size_t len)
{
	struct msghdr msg;

	ktcp_init_msg(&msg, MSG_SPLICE_PAGES);
	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, pages, count, len);
	return atomic ? ktcp_sendmsg_atomic(sock, frag, &msg, len) :
			sock_sendmsg(sock, &msg);
}
EXPORT_SYMBOL_GPL(ktcp_send_pages);

/* Copies len bytes of pages[] to @to. */
void ktcp_copy_pages(void *to, const struct bio_vec *pages, unsigned int count,
		     size_t len)
{
	struct iov_iter iter;
	size_t copied;

	iov_iter_bvec(&iter, ITER_SOURCE, pages, count, len);
	copied = copy_from_iter(to, len, &iter);
	/* Short only if memory is poisoned. No stale bytes may be exposed then. */
	memset(to + copied, 0, len - copied);
}
EXPORT_SYMBOL_GPL(ktcp_copy_pages);

void ktcp_put_page(struct page *page)
{
	put_page(page);
}
EXPORT_SYMBOL_GPL(ktcp_put_page);
