/* SPDX-License-Identifier: GPL-2.0 */
/* C functions of the suites; Rust declares them again where it calls them. */
#ifndef KTCP_KUNIT_H
#define KTCP_KUNIT_H

#include <linux/types.h>

int ktcp_kunit_fault_setup(void);
void ktcp_kunit_fault_quiet(bool quiet);
void ktcp_kunit_fault_arm(unsigned int nth);
unsigned int ktcp_kunit_fault_arm_tasks(const char *prefix, unsigned int nth);
bool ktcp_kunit_fault_disarm(void);
unsigned int ktcp_kunit_tasks(const char *prefix);
int ktcp_kunit_sockets(void);

int ktcp_kunit_claim(u16 port, bool claimed);

int ktcp_kunit_abort_listener(u16 port);

struct ktcp_kunit_settings {
	u64 max_pacing_rate;
	u32 mark;
	u32 priority;
	u32 notsent_lowat;
	u32 max_segment;
	u32 backlog;
	u32 fast_open;
	s32 incoming_cpu;
	u8 tos;
	u8 min_ttl;
	u8 tclass;
	u8 min_hopcount;
	u8 defer_accept;
	u8 freebind;
	u8 transparent;
	u8 reno;
};

int ktcp_kunit_socket_settings(u16 port, u16 peer, bool v6, struct ktcp_kunit_settings *is);
int ktcp_kunit_set_somaxconn(int connections);

struct ktcp_kunit_told {
	unsigned int watched;
	unsigned int watcher;
	unsigned int stranger;
};

int ktcp_kunit_late_events(struct ktcp_kunit_told *told);

int ktcp_kunit_pages_of_other_socket(bool atomic);
int ktcp_kunit_pages_of_client(int given, bool atomic);

unsigned int ktcp_kunit_log_lines(const char *text);

void ktcp_kunit_raise_softirq(void);
unsigned int ktcp_kunit_softirqs_run(void);

int ktcp_kunit_unshare_net(u64 *cookie);
bool ktcp_kunit_net_exists(u64 cookie);
int ktcp_kunit_net_up(u64 cookie, bool up);

#endif /* KTCP_KUNIT_H */
