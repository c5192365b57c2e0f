// SPDX-License-Identifier: GPL-2.0

//! Functions that the kernel offers to C modules and `kernel::bindings` does not declare.
//!
//! The `ktcp_` functions are inline functions or macros in C, for which `shim/shim.c` gives a
//! symbol; the others are exported by the kernel itself. `shim/shim.h` declares all of them, too: a
//! test of the tools compares the two.

pub(crate) mod layout;
pub(crate) mod raw;

use self::raw::{
    RawPollers,
    RawStat,
    RawWatch, //
};
use kernel::{
    bindings,
    prelude::*, //
};

#[allow(
    improper_ctypes,
    reason = "lock_class_key, deep inside of sockets, is empty without lockdep; only pointers pass"
)]
extern "C" {
    /// C header: [`include/net/sock.h`](srctree/include/net/sock.h)
    pub(crate) fn sk_net_refcnt_upgrade(sk: *mut bindings::sock);
    /// C header: [`include/net/sock.h`](srctree/include/net/sock.h)
    pub(crate) fn sock_no_linger(sk: *mut bindings::sock);

    pub(crate) fn ktcp_watch(sock: *mut bindings::socket, watch: *mut RawWatch) -> c_int;
    pub(crate) fn ktcp_unwatch(sock: *mut bindings::socket, watch: *mut RawWatch);
    pub(crate) fn ktcp_sock_ended(sock: *const bindings::socket) -> bool;

    pub(crate) fn ktcp_sock_delivered(sock: *const bindings::socket) -> c_int;

    pub(crate) fn ktcp_sock_all_acked(sock: *const bindings::socket) -> bool;

    pub(crate) fn ktcp_hold_sock(sock: *const bindings::socket) -> *mut bindings::sock;

    pub(crate) fn ktcp_put_sock(sk: *mut bindings::sock);

    pub(crate) fn ktcp_sock_acked(sk: *const bindings::sock) -> u32;

    pub(crate) fn ktcp_get_net(net: *mut bindings::net) -> *mut bindings::net;
    pub(crate) fn ktcp_get_current_net() -> *mut bindings::net;
    pub(crate) fn ktcp_put_net(net: *mut bindings::net);
    pub(crate) fn ktcp_net_inode(net: *const bindings::net) -> u32;
    pub(crate) fn ktcp_sock_create(
        net: *mut bindings::net,
        family: c_int,
        protocol: c_int,
        sock: *mut *mut bindings::socket,
    ) -> c_int;
    pub(crate) fn ktcp_current_device(family: c_int, name: *mut c_char) -> c_int;
    pub(crate) fn ktcp_mptcp_lock_class(sock: *mut bindings::socket);
    pub(crate) fn ktcp_setsockopt(
        sock: *mut bindings::socket,
        level: c_int,
        name: c_int,
        value: *const c_void,
        len: c_uint,
    ) -> c_int;
    pub(crate) fn ktcp_getsockopt(
        sock: *mut bindings::socket,
        level: c_int,
        name: c_int,
        value: *mut c_int,
    ) -> c_int;
    pub(crate) fn ktcp_may_set_option(level: c_uint, name: c_uint) -> bool;
    pub(crate) fn ktcp_listen(sock: *mut bindings::socket, backlog: c_int) -> c_int;
    pub(crate) fn ktcp_device_index(net: *mut bindings::net, name: *const c_char) -> c_uint;
    pub(crate) fn ktcp_heed_user_timeout(sock: *mut bindings::socket, millis: c_uint);
    pub(crate) fn ktcp_alloc_wide_workqueue(
        name: *const c_char,
        max_active: c_int,
    ) -> *mut bindings::workqueue_struct;
    pub(crate) fn ktcp_surely_active(max_active: c_uint) -> c_uint;
    pub(crate) fn ktcp_cpu_present(cpu: c_uint) -> bool;
    pub(crate) fn ktcp_cpu_is_housekeeping(cpu: c_uint) -> bool;
    pub(crate) fn ktcp_interrupt_kthread(task: *mut bindings::task_struct);
    pub(crate) fn ktcp_clear_interrupt();
    pub(crate) fn ktcp_kthread_data(
        function: unsafe extern "C" fn(*mut c_void) -> c_int,
    ) -> *mut c_void;
    pub(crate) fn ktcp_in_kernel_thread() -> bool;
    pub(crate) fn ktcp_in_worker() -> bool;
    pub(crate) fn ktcp_module_name(module: *mut bindings::module) -> *const c_char;
    pub(crate) fn ktcp_module_is_live(module: *mut bindings::module) -> bool;
    pub(crate) fn ktcp_hold_module(module: *mut bindings::module) -> bool;
    pub(crate) fn ktcp_release_module(module: *mut bindings::module);
    pub(crate) fn ktcp_module_has(module: *const bindings::module, code: *const c_void) -> bool;
    pub(crate) fn ktcp_param_copy(to: *mut c_void, from: *const c_void, len: usize);
    pub(crate) fn ktcp_softirqs_off();
    pub(crate) fn ktcp_softirqs_on();
    pub(crate) fn ktcp_must_not_sleep() -> bool;
    pub(crate) fn ktcp_receive_atomic(
        sock: *mut bindings::socket,
        buffer: *mut c_void,
        len: usize,
        more: *mut bool,
    ) -> c_int;
    pub(crate) fn ktcp_send_atomic(
        sock: *mut bindings::socket,
        frag: *mut bindings::page_frag,
        data: *const c_void,
        len: usize,
    ) -> c_int;
    pub(crate) fn ktcp_page_frag_free(frag: *mut bindings::page_frag);
    pub(crate) fn ktcp_receive_pages(
        sock: *mut bindings::socket,
        atomic: bool,
        pages: *mut bindings::bio_vec,
        room: c_uint,
        len: usize,
        used: *mut c_uint,
        more: *mut bool,
    ) -> c_int;
    pub(crate) fn ktcp_send_pages(
        sock: *mut bindings::socket,
        frag: *mut bindings::page_frag,
        atomic: bool,
        pages: *const bindings::bio_vec,
        count: c_uint,
        len: usize,
    ) -> c_int;
    pub(crate) fn ktcp_copy_pages(
        to: *mut c_void,
        pages: *const bindings::bio_vec,
        count: c_uint,
        len: usize,
    );
    pub(crate) fn ktcp_put_page(page: *mut bindings::page);
    pub(crate) fn ktcp_pollers_new(
        count: c_uint,
        poll: unsafe extern "C" fn(*const c_void, c_uint, c_uint) -> c_uint,
        data: *const c_void,
    ) -> *mut RawPollers;
    pub(crate) fn ktcp_poller_schedule(pollers: *mut RawPollers, index: c_uint);
    pub(crate) fn ktcp_pollers_stop(pollers: *mut RawPollers);
    pub(crate) fn ktcp_pollers_free(pollers: *mut RawPollers);
    pub(crate) fn ktcp_wait_for_completion_timeout(
        x: *mut bindings::completion,
        timeout: c_ulong,
    ) -> c_ulong;
    pub(crate) fn ktcp_cpu_to_node(cpu: c_uint) -> c_int;
    pub(crate) fn ktcp_prepare_to_park();
    pub(crate) fn ktcp_finish_park();
    pub(crate) fn ktcp_prefer_cpu(task: *mut bindings::task_struct, cpu: c_uint) -> c_int;
    pub(crate) fn ktcp_unbind_kthread(task: *mut bindings::task_struct);
    pub(crate) fn ktcp_sched_batch();
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn ktcp_kunit_loopback_up() -> c_int;

    pub(crate) fn ktcp_debugfs_dir(
        name: *const c_char,
        parent: *mut bindings::dentry,
    ) -> *mut bindings::dentry;
    pub(crate) fn ktcp_debugfs_file(
        name: *const c_char,
        dir: *mut bindings::dentry,
        data: *mut c_void,
    );
    pub(crate) fn ktcp_debugfs_remove(dentry: *mut bindings::dentry);

    pub(crate) fn ktcp_open_root(name: *const c_char, root: *mut bindings::path) -> c_int;
    pub(crate) fn ktcp_put_path(path: *const bindings::path);
    pub(crate) fn ktcp_nobody() -> *const bindings::cred;
    pub(crate) fn ktcp_put_cred(cred: *const bindings::cred);
    pub(crate) fn ktcp_lookup(
        root: *const bindings::path,
        cred: *const bindings::cred,
        name: *const c_char,
        cached: bool,
        found: *mut bindings::path,
    ) -> c_int;
    pub(crate) fn ktcp_stat(path: *const bindings::path, cached: bool, stat: *mut RawStat)
        -> c_int;
    pub(crate) fn ktcp_open(
        path: *const bindings::path,
        cred: *const bindings::cred,
    ) -> *mut bindings::file;
    pub(crate) fn ktcp_get_file(file: *mut bindings::file) -> *mut bindings::file;
    pub(crate) fn ktcp_read(
        file: *mut bindings::file,
        buffer: *mut c_void,
        len: usize,
        pos: i64,
        cached: bool,
    ) -> isize;
    pub(crate) fn ktcp_can_send_file(file: *const bindings::file) -> bool;
    pub(crate) fn ktcp_send_file(
        sock: *mut bindings::socket,
        fragment: *mut bindings::page_frag,
        atomic: bool,
        file: *mut bindings::file,
        pos: i64,
        len: usize,
        more: bool,
        full: *mut bool,
    ) -> isize;
    pub(crate) fn ktcp_read_dir(
        path: *const bindings::path,
        cred: *const bindings::cred,
        entry: unsafe extern "C" fn(*mut c_void, *const c_char, c_int) -> bool,
        data: *mut c_void,
    ) -> c_int;
    pub(crate) fn ktcp_now(seconds: *mut i64, nanos: *mut u32);
    pub(crate) fn ktcp_wipe(memory: *mut c_void, len: usize);
}
