// SPDX-License-Identifier: GPL-2.0

//! What the kernel offers to C modules and `kernel::bindings` does not declare.
//!
//! The `ktcp_` functions are inline functions or macros in C, for which `shim/shim.c` gives a
//! symbol; the others are exported by the kernel itself. Keep in step with `shim/shim.h`.

use crate::net::RawWatch;
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

    pub(crate) fn ktcp_watch(sock: *mut bindings::socket, watch: *mut RawWatch);
    pub(crate) fn ktcp_unwatch(sock: *mut bindings::socket, watch: *mut RawWatch);
    pub(crate) fn ktcp_sock_ended(sock: *const bindings::socket) -> bool;

    pub(crate) fn ktcp_get_net(net: *mut bindings::net) -> *mut bindings::net;
    pub(crate) fn ktcp_get_current_net() -> *mut bindings::net;
    pub(crate) fn ktcp_put_net(net: *mut bindings::net);
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
    pub(crate) fn ktcp_alloc_unbound_workqueue(
        name: *const c_char,
    ) -> *mut bindings::workqueue_struct;
    pub(crate) fn ktcp_cpu_online(cpu: c_uint) -> bool;
    pub(crate) fn ktcp_interrupt_kthread(task: *mut bindings::task_struct);
    pub(crate) fn ktcp_in_worker() -> bool;
    pub(crate) fn ktcp_module_is_live(module: *mut bindings::module) -> bool;
    pub(crate) fn ktcp_prepare_to_park();
    pub(crate) fn ktcp_finish_park();
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn ktcp_kunit_loopback_up() -> c_int;
    pub(crate) fn ktcp_wipe(memory: *mut c_void, len: usize);
}
