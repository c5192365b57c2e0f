/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Wrappers of inline functions and macros, for Rust. ../shim.rs declares them once
 * more; tests/tools/test_declarations.py compares the two.
 */
#ifndef KTCP_SHIM_H
#define KTCP_SHIM_H

/*
 * On 32 bits i_size_read() in a softirq spins for ever if the softirq has
 * interrupted the writer.
 */
#ifndef CONFIG_64BIT
#error "ktcp_server is for 64-bit kernels only"
#endif

#include <linux/types.h>

struct bio_vec;
struct completion;
struct cred;
struct dentry;
struct file;
struct fs_struct;
struct ktcp_pollers;
struct module;
struct net;
struct page;
struct page_frag;
struct path;
struct seq_file;
struct sock;
struct socket;
struct task_struct;
struct workqueue_struct;

/* `RawWatch` in raw.rs; constants.c exports its layout. */
struct ktcp_watch {
	void (*event)(const void *data);
	const void *data;
	/* The callbacks that the socket had before. */
	void (*data_ready)(struct sock *sk);
	void (*write_space)(struct sock *sk);
	void (*state_change)(struct sock *sk);
};

/*
 * From <net/sock.h>: declared again as Rust declares them, for the compiler to
 * compare.
 */
void sk_net_refcnt_upgrade(struct sock *sk);
void sock_no_linger(struct sock *sk);

int ktcp_watch(struct socket *sock, struct ktcp_watch *watch);
void ktcp_unwatch(struct socket *sock, struct ktcp_watch *watch);
bool ktcp_sock_ended(const struct socket *sock);
int ktcp_sock_delivered(const struct socket *sock);
bool ktcp_sock_all_acked(const struct socket *sock);
struct sock *ktcp_hold_sock(const struct socket *sock);
void ktcp_put_sock(struct sock *sk);
u32 ktcp_sock_acked(const struct sock *sk);

struct net *ktcp_get_net(struct net *net);
struct net *ktcp_get_current_net(void);
void ktcp_put_net(struct net *net);
u32 ktcp_net_inode(const struct net *net);
int ktcp_sock_create(struct net *net, int family, int protocol, struct socket **sock);
/* The name takes IFNAMSIZ bytes. */
int ktcp_current_device(int family, char *name);
void ktcp_mptcp_lock_class(struct socket *sock);
int ktcp_setsockopt(struct socket *sock, int level, int name, const void *value,
		    unsigned int len);
int ktcp_getsockopt(struct socket *sock, int level, int name, int *value);
bool ktcp_may_set_option(unsigned int level, unsigned int name);
int ktcp_listen(struct socket *sock, int backlog);
unsigned int ktcp_device_index(struct net *net, const char *name);
void ktcp_heed_user_timeout(struct socket *sock, unsigned int millis);
bool ktcp_cpu_present(unsigned int cpu);
bool ktcp_cpu_is_housekeeping(unsigned int cpu);
void ktcp_interrupt_kthread(struct task_struct *task);
void ktcp_clear_interrupt(void);
void *ktcp_kthread_data(int (*function)(void *data));
bool ktcp_in_kernel_thread(void);
bool ktcp_in_worker(void);
const char *ktcp_module_name(struct module *module);
bool ktcp_module_is_live(struct module *module);
bool ktcp_hold_module(struct module *module);
void ktcp_release_module(struct module *module);
bool ktcp_module_has(const struct module *module, const void *code);
unsigned long ktcp_wait_for_completion_timeout(struct completion *x, unsigned long timeout);
int ktcp_cpu_to_node(unsigned int cpu);
void ktcp_prepare_to_park(void);
void ktcp_finish_park(void);
int ktcp_prefer_cpu(struct task_struct *task, unsigned int cpu);
void ktcp_unbind_kthread(struct task_struct *task);
void ktcp_sched_batch(void);
void ktcp_wipe(void *memory, size_t len);
void ktcp_param_copy(void *to, const void *from, size_t len);
struct workqueue_struct *ktcp_alloc_wide_workqueue(const char *name, int max_active);
unsigned int ktcp_surely_active(unsigned int max_active);

/* `RawStat` in raw.rs; constants.c exports its layout. */
struct ktcp_stat {
	u64 size;
	u64 inode;
	s64 modified_seconds;
	s64 changed_seconds;
	u64 change_cookie;
	u32 modified_nanos;
	u32 changed_nanos;
	u32 device;
	u32 mode;
	u32 generation;
};

bool ktcp_can_send_file(const struct file *file);
ssize_t ktcp_send_file(struct socket *sock, struct page_frag *frag, bool atomic,
		       struct file *file, loff_t pos, size_t len, bool more, bool *full);

struct dentry *ktcp_debugfs_dir(const char *name, struct dentry *parent);
void ktcp_debugfs_file(const char *name, struct dentry *dir, void *data);
void ktcp_debugfs_remove(struct dentry *dentry);

typedef bool (*ktcp_read_dir_entry)(void *data, const char *name, int len);

int ktcp_open_root(const char *name, struct path *root);
void ktcp_put_path(const struct path *path);
const struct cred *ktcp_nobody(void);
void ktcp_put_cred(const struct cred *cred);
int ktcp_lookup(const struct path *root, const struct cred *cred,
		const char *name, bool cached, struct path *found);
int ktcp_stat(const struct path *path, bool cached, struct ktcp_stat *stat);
struct file *ktcp_open(const struct path *path, const struct cred *cred);
struct file *ktcp_get_file(struct file *file);
ssize_t ktcp_read(struct file *file, void *buffer, size_t len, loff_t pos,
		  bool cached);
int ktcp_read_dir(const struct path *path, const struct cred *cred,
		  ktcp_read_dir_entry entry, void *data);
void ktcp_now(s64 *seconds, u32 *nanos);

void ktcp_softirqs_off(void);
void ktcp_softirqs_on(void);
void ktcp_softirqs_exit(void);
bool ktcp_must_not_sleep(void);
int ktcp_receive_atomic(struct socket *sock, void *buffer, size_t len,
			bool *more);
int ktcp_send_atomic(struct socket *sock, struct page_frag *frag,
		     const void *data, size_t len);
void ktcp_page_frag_free(struct page_frag *frag);

/* Fewer bytes cost less to copy than references to their pages. */
#define KTCP_PAGES_LEAST 2048

int ktcp_receive_pages(struct socket *sock, bool atomic, struct bio_vec *pages,
		       unsigned int room, size_t len, unsigned int *used,
		       bool *more);
int ktcp_send_pages(struct socket *sock, struct page_frag *frag, bool atomic,
		    const struct bio_vec *pages, unsigned int count, size_t len);
void ktcp_copy_pages(void *to, const struct bio_vec *pages, unsigned int count,
		     size_t len);
void ktcp_put_page(struct page *page);

struct ktcp_pollers *
ktcp_pollers_new(unsigned int count,
		 unsigned int (*poll)(const void *data, unsigned int index,
				      unsigned int budget),
		 const void *data);
void ktcp_poller_schedule(struct ktcp_pollers *pollers, unsigned int index);
void ktcp_pollers_stop(struct ktcp_pollers *pollers);
void ktcp_pollers_free(struct ktcp_pollers *pollers);

/* With CONFIG_KUNIT=y only. */
int ktcp_kunit_loopback_up(void);
struct fs_struct *ktcp_kunit_enter_files(void);
void ktcp_kunit_leave_files(struct fs_struct *old);
int ktcp_kunit_make_dir(const char *path, umode_t mode);
int ktcp_kunit_make_link(const char *path, const char *target);
int ktcp_kunit_write(const char *path, umode_t mode, const void *data, size_t len);

/* In ../module/library.rs and ../module/registry.rs. */
int ktcp_library_init(void);
void ktcp_library_exit(void);
void ktcp_module_going(struct module *module);
void ktcp_module_shutdown(struct module *module);
int ktcp_show_file(struct seq_file *seq, void *data);

#endif /* KTCP_SHIM_H */
