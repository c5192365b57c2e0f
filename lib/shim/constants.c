// SPDX-License-Identifier: GPL-2.0
/*
 * Constants of headers that the bindings leave out, and the layout of the structs
 * in shim.h, for Rust. Kbuild compiles this to assembly only and makes a Rust file
 * of that, as it makes a header of asm-offsets.c; layout.rs includes the Rust file.
 */

#include <linux/in.h>
#include <linux/in6.h>
#include <linux/socket.h>
#include <linux/stddef.h>
#include <linux/tcp.h>
#include <linux/workqueue.h>

#include "shim.h"

#define RUST(type, name, value) \
	({ asm volatile("\n.ascii \"->" name ": " #type " = %0\"" : : "i" (value)); })
#define CONSTANT(type, name) RUST(type, #name, name)
#define SIZE(name) RUST(usize, "size_of_" #name, sizeof(struct name))
#define FIELD(name, field) do {						\
	RUST(usize, "offset_of_" #name "_" #field,			\
	     offsetof(struct name, field));				\
	RUST(usize, "size_of_" #name "_" #field,			\
	     sizeof_field(struct name, field));				\
} while (0)

static void __used ktcp_constants(void)
{
	CONSTANT(c_int, IPPROTO_TCP);
	CONSTANT(c_int, IPPROTO_MPTCP);
	CONSTANT(u32, TCP_NODELAY);
	CONSTANT(u32, TCP_KEEPIDLE);
	CONSTANT(u32, TCP_KEEPINTVL);
	CONSTANT(u32, TCP_KEEPCNT);
	CONSTANT(u32, TCP_USER_TIMEOUT);
	CONSTANT(u32, TCP_CONGESTION);
	CONSTANT(u32, TCP_DEFER_ACCEPT);
	CONSTANT(u32, TCP_FASTOPEN);
	CONSTANT(u32, TCP_MAXSEG);
	CONSTANT(u32, TCP_NOTSENT_LOWAT);
	CONSTANT(u32, SO_INCOMING_CPU);
	CONSTANT(u32, SO_MARK);
	CONSTANT(u32, SO_MAX_PACING_RATE);
	CONSTANT(u32, SO_PRIORITY);
	CONSTANT(u32, IP_FREEBIND);
	CONSTANT(u32, IP_MINTTL);
	CONSTANT(u32, IP_TOS);
	CONSTANT(u32, IP_TRANSPARENT);
	CONSTANT(u32, IPV6_FREEBIND);
	CONSTANT(u32, IPV6_MINHOPCOUNT);
	CONSTANT(u32, IPV6_TCLASS);
	CONSTANT(u32, IPV6_TRANSPARENT);
	CONSTANT(u32, WQ_MAX_ACTIVE);
	CONSTANT(usize, KTCP_PAGES_LEAST);

	SIZE(sockaddr_in);
	FIELD(sockaddr_in, sin_family);
	FIELD(sockaddr_in, sin_port);
	FIELD(sockaddr_in, sin_addr);

	SIZE(ktcp_watch);
	FIELD(ktcp_watch, event);
	FIELD(ktcp_watch, data);
	FIELD(ktcp_watch, data_ready);
	FIELD(ktcp_watch, write_space);
	FIELD(ktcp_watch, state_change);

	SIZE(ktcp_stat);
	FIELD(ktcp_stat, size);
	FIELD(ktcp_stat, inode);
	FIELD(ktcp_stat, modified_seconds);
	FIELD(ktcp_stat, changed_seconds);
	FIELD(ktcp_stat, change_cookie);
	FIELD(ktcp_stat, modified_nanos);
	FIELD(ktcp_stat, changed_nanos);
	FIELD(ktcp_stat, device);
	FIELD(ktcp_stat, mode);
	FIELD(ktcp_stat, generation);
}
