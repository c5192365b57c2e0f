// SPDX-License-Identifier: GPL-2.0
/*
 * A socket that is not plain TCP, whose `struct sock` is no longer than the part that
 * all sockets have: reading a member of TCP is an access beyond its end, which KASAN
 * reports.
 */

#include <linux/net.h>
#include <linux/vmalloc.h>
#include <net/sock.h>

#include "../lib/shim/shim.h"
#include "kunit.h"

/*
 * Returns what ktcp_receive_pages() says of such a socket, which is 0, or -ENOMEM. Of
 * vmalloc(), for behind that nothing is mapped, or poisoned up to the end of the page.
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
