/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Trace events in /sys/kernel/tracing/events/ktcp_server/. Rust calls them in
 * ../connection/trace.rs; tests/tools/test_declarations.py compares the two.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM ktcp_server

#if !defined(KTCP_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define KTCP_TRACE_H

#include <linux/in6.h>
#include <linux/tracepoint.h>

/*
 * An event that is traced holds the library. The kernel takes one back that is merely
 * enabled, but not one with a trigger: then it warns, and leaves the probe behind.
 */
int ktcp_trace_begin(void);
void ktcp_trace_end(void);

/* `peer` is a sockaddr_in or a sockaddr_in6, with room for the latter. */

TRACE_EVENT_FN(ktcp_accept,
	TP_PROTO(const char *server, unsigned long connection, const void *peer),
	TP_ARGS(server, connection, peer),
	TP_STRUCT__entry(
		__string(server, server)
		__field(unsigned long, connection)
		__sockaddr(peer, sizeof(struct sockaddr_in6))
	),
	TP_fast_assign(
		__assign_str(server);
		__entry->connection = connection;
		__assign_sockaddr(peer, peer, sizeof(struct sockaddr_in6));
	),
	TP_printk("server=%s connection=%lu peer=%pISpc",
		  __get_str(server), __entry->connection, __get_sockaddr(peer)),
	ktcp_trace_begin, ktcp_trace_end
);

DECLARE_EVENT_CLASS(ktcp_bytes,
	TP_PROTO(const char *server, unsigned long connection, const void *peer,
		 unsigned long bytes),
	TP_ARGS(server, connection, peer, bytes),
	TP_STRUCT__entry(
		__string(server, server)
		__field(unsigned long, connection)
		__sockaddr(peer, sizeof(struct sockaddr_in6))
		__field(unsigned long, bytes)
	),
	TP_fast_assign(
		__assign_str(server);
		__entry->connection = connection;
		__assign_sockaddr(peer, peer, sizeof(struct sockaddr_in6));
		__entry->bytes = bytes;
	),
	TP_printk("server=%s connection=%lu peer=%pISpc bytes=%lu",
		  __get_str(server), __entry->connection, __get_sockaddr(peer),
		  __entry->bytes)
);

/* The server has received bytes from the peer. */
DEFINE_EVENT_FN(ktcp_bytes, ktcp_receive,
	TP_PROTO(const char *server, unsigned long connection, const void *peer,
		 unsigned long bytes),
	TP_ARGS(server, connection, peer, bytes),
	ktcp_trace_begin, ktcp_trace_end
);

/* The server has passed bytes to the socket. */
DEFINE_EVENT_FN(ktcp_bytes, ktcp_send,
	TP_PROTO(const char *server, unsigned long connection, const void *peer,
		 unsigned long bytes),
	TP_ARGS(server, connection, peer, bytes),
	ktcp_trace_begin, ktcp_trace_end
);

TRACE_EVENT_FN(ktcp_close,
	TP_PROTO(const char *server, unsigned long connection, const void *peer,
		 const char *reason, int error),
	TP_ARGS(server, connection, peer, reason, error),
	TP_STRUCT__entry(
		__string(server, server)
		__field(unsigned long, connection)
		__sockaddr(peer, sizeof(struct sockaddr_in6))
		__string(reason, reason)
		__field(int, error)
	),
	TP_fast_assign(
		__assign_str(server);
		__entry->connection = connection;
		__assign_sockaddr(peer, peer, sizeof(struct sockaddr_in6));
		__assign_str(reason);
		__entry->error = error;
	),
	TP_printk("server=%s connection=%lu peer=%pISpc reason=%s error=%d",
		  __get_str(server), __entry->connection, __get_sockaddr(peer),
		  __get_str(reason), __entry->error),
	ktcp_trace_begin, ktcp_trace_end
);

/*
 * The server has reset a new connection before the handler saw it; it has no number
 * yet.
 */
TRACE_EVENT_FN(ktcp_refuse,
	TP_PROTO(const char *server, const void *peer, const char *reason, int error),
	TP_ARGS(server, peer, reason, error),
	TP_STRUCT__entry(
		__string(server, server)
		__sockaddr(peer, sizeof(struct sockaddr_in6))
		__string(reason, reason)
		__field(int, error)
	),
	TP_fast_assign(
		__assign_str(server);
		__assign_sockaddr(peer, peer, sizeof(struct sockaddr_in6));
		__assign_str(reason);
		__entry->error = error;
	),
	TP_printk("server=%s peer=%pISpc reason=%s error=%d", __get_str(server),
		  __get_sockaddr(peer), __get_str(reason), __entry->error),
	ktcp_trace_begin, ktcp_trace_end
);

#endif /* KTCP_TRACE_H */

/* Not below include/trace/events/: Kbuild adds this folder to the path. */
#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
