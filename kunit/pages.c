// SPDX-License-Identifier: GPL-2.0
/*
 * What ktcp_receive_pages() takes, and what it leaves to be copied.
 */

#include <linux/bvec.h>
#include <linux/delay.h>
#include <linux/in.h>
#include <linux/mm.h>
#include <linux/net.h>
#include <linux/uio.h>
#include <linux/vmalloc.h>
#include <net/net_namespace.h>
#include <net/sock.h>
#include <net/tcp.h>

#include "../lib/shim/shim.h"
#include "kunit.h"

/*
 * Returns what ktcp_receive_pages() says of a socket that is not plain TCP, which is 0, or
 * -ENOMEM. Its `struct sock` is no longer than the part that all sockets have: reading a member
 * of TCP is an access beyond its end, which KASAN reports. Of vmalloc(), for behind that
 * nothing is mapped, or poisoned up to the end of the page.
 */
int ktcp_kunit_pages_of_other_socket(bool atomic)
{
	static const struct proto_ops ops;
	struct socket sock = { .ops = &ops };
	unsigned int used = 1;
	bool more = false;
	int received;

	sock.sk = vzalloc(sizeof(*sock.sk));
	if (!sock.sk)
		return -ENOMEM;
	received = ktcp_receive_pages(&sock, atomic, NULL, 0, 0, &used, &more);
	vfree(sock.sk);
	return received ?: used;
}

/* `Given` in pages.rs: how a client gives a page: by a copy, or itself. */
enum ktcp_kunit_given {
	KTCP_KUNIT_COPIED,
	/* As splice() does. */
	KTCP_KUNIT_SHARED,
	/* Without a mark that it is shared: as one that nothing else knows, */
	KTCP_KUNIT_GIVEN_AWAY,
	/* as one of the page cache, */
	KTCP_KUNIT_OF_FILE,
	/* and as one that a process has mapped. */
	KTCP_KUNIT_MAPPED,
};

/* Both ends of a connection over loopback. */
static int ktcp_kunit_connect(struct socket **client, struct socket **server)
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct sockaddr_unsized *any = (struct sockaddr_unsized *)&addr;
	struct socket *listener;
	int err;

	err = sock_create_kern(&init_net, PF_INET, SOCK_STREAM, IPPROTO_TCP, &listener);
	if (err)
		return err;
	err = kernel_bind(listener, any, sizeof(addr));
	if (!err)
		err = kernel_listen(listener, 1);
	if (!err)
		err = kernel_getsockname(listener, (struct sockaddr *)&addr);
	if (err < 0)
		goto release_listener;
	err = sock_create_kern(&init_net, PF_INET, SOCK_STREAM, IPPROTO_TCP, client);
	if (err)
		goto release_listener;
	err = kernel_connect(*client, any, sizeof(addr), 0);
	if (!err)
		err = kernel_accept(listener, server, 0);
	if (err)
		sock_release(*client);
release_listener:
	sock_release(listener);
	return err;
}

/* Returns how many bytes came as pages: all, none, or an error. */
static int ktcp_kunit_receive(struct socket *server, bool atomic, size_t len)
{
	struct bio_vec pages[MAX_SKB_FRAGS];
	unsigned int i, tries, used = 0;
	bool more = false;
	int received;

	for (tries = 0; tcp_inq(server->sk) < len; tries++) {
		if (tries == 1000)
			return -ETIMEDOUT;
		msleep(10);
	}
	if (atomic)
		local_bh_disable();
	received = ktcp_receive_pages(server, atomic, pages, ARRAY_SIZE(pages), len, &used,
				      &more);
	if (atomic)
		local_bh_enable();
	for (i = 0; i < used; i++)
		ktcp_put_page(pages[i].bv_page);
	return received;
}

/*
 * Sends a page, by itself or by a copy, and returns how many of its bytes
 * ktcp_receive_pages() takes, or an error.
 */
int ktcp_kunit_pages_of_client(int given, bool atomic)
{
	struct address_space file = {};
	struct msghdr msg = {};
	struct socket *client, *server;
	struct bio_vec vec;
	struct page *page;
	int err;

	page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!page)
		return -ENOMEM;
	err = ktcp_kunit_connect(&client, &server);
	if (err)
		goto free_page;
	switch (given) {
	case KTCP_KUNIT_COPIED:
		break;
	case KTCP_KUNIT_SHARED:
		msg.msg_flags = MSG_SPLICE_PAGES;
		break;
	case KTCP_KUNIT_OF_FILE:
		page->mapping = &file;
		msg.msg_flags = MSG_SPLICE_PAGES | MSG_NO_SHARED_FRAGS;
		break;
	case KTCP_KUNIT_MAPPED:
		atomic_inc(&page->_mapcount);
		fallthrough;
	case KTCP_KUNIT_GIVEN_AWAY:
		msg.msg_flags = MSG_SPLICE_PAGES | MSG_NO_SHARED_FRAGS;
		break;
	}
	bvec_set_page(&vec, page, PAGE_SIZE, 0);
	iov_iter_bvec(&msg.msg_iter, ITER_SOURCE, &vec, 1, PAGE_SIZE);
	err = sock_sendmsg(client, &msg);
	if (err == PAGE_SIZE)
		err = ktcp_kunit_receive(server, atomic, PAGE_SIZE);
	else if (err >= 0)
		err = -EIO;
	/* As the allocator wants it back. */
	page->mapping = NULL;
	if (given == KTCP_KUNIT_MAPPED)
		atomic_dec(&page->_mapcount);
	sock_release(server);
	sock_release(client);
free_page:
	put_page(page);
	return err;
}
