/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Symbols for what C offers inline or as a macro only. Declared once more, for
 * Rust, in ../shim.rs: keep the two in step.
 */
#ifndef KTCP_SHIM_H
#define KTCP_SHIM_H

#include <linux/types.h>

struct module;
struct net;
struct sock;
struct socket;
struct task_struct;
struct workqueue_struct;

/* In step with `RawWatch` in ../net/watch.rs. */
struct ktcp_watch {
	void (*event)(const void *data);
	const void *data;
	/* What the socket had before. */
	void (*data_ready)(struct sock *sk);
	void (*write_space)(struct sock *sk);
	void (*state_change)(struct sock *sk);
};

void ktcp_watch(struct socket *sock, struct ktcp_watch *watch);
void ktcp_unwatch(struct socket *sock, struct ktcp_watch *watch);
bool ktcp_sock_ended(const struct socket *sock);

struct net *ktcp_get_net(struct net *net);
struct net *ktcp_get_current_net(void);
void ktcp_put_net(struct net *net);
void ktcp_mptcp_lock_class(struct socket *sock);
int ktcp_setsockopt(struct socket *sock, int level, int name, const void *value,
		    unsigned int len);
int ktcp_getsockopt(struct socket *sock, int level, int name, int *value);
bool ktcp_cpu_online(unsigned int cpu);
void ktcp_interrupt_kthread(struct task_struct *task);
bool ktcp_in_worker(void);
bool ktcp_module_is_live(struct module *module);
void ktcp_prepare_to_park(void);
void ktcp_finish_park(void);
void ktcp_wipe(void *memory, size_t len);
struct workqueue_struct *ktcp_alloc_unbound_workqueue(const char *name);

/* With CONFIG_KUNIT=y only. */
int ktcp_kunit_loopback_up(void);

/* In ../registry.rs. */
int ktcp_library_init(void);
void ktcp_library_exit(void);
void ktcp_module_going(struct module *module);

#endif /* KTCP_SHIM_H */
