// SPDX-License-Identifier: GPL-2.0

//! Network namespaces.
//!
//! C header: [`include/net/net_namespace.h`](srctree/include/net/net_namespace.h)

use crate::shim;
use core::ptr::NonNull;
use kernel::{
    bindings,
    prelude::*, //
};

/// A network namespace in which sockets are made.
///
/// Holds a reference for as long as it lives, and each socket holds one of its own: a namespace
/// cannot vanish under a socket. Conversely a namespace whose last process is gone lives on until
/// the last socket in it is closed: a server that was started in one serves there until it stops, even
/// when nothing else can reach or name the namespace any more.
///
/// # Examples
///
/// ```
/// use kernel::prelude::*;
/// use ktcp_server::{net::Namespace, Builder};
///
/// /// Has a server listen where the machine's own services are, whichever process loads the module.
/// fn at_home(builder: Builder) -> Builder {
///     builder.namespace(Namespace::initial())
/// }
/// ```
///
/// # Invariants
///
/// `0` points to a `struct net` on which this value owns a reference.
pub struct Namespace(NonNull<bindings::net>);

// SAFETY: A `struct net` is reference counted atomically; the reference may be released anywhere.
unsafe impl Send for Namespace {}

// SAFETY: A shared `Namespace` only lends out its pointer, and C serialises what it does with it.
unsafe impl Sync for Namespace {}

impl Namespace {
    /// The namespace that the machine booted with.
    ///
    /// May be called from any context.
    pub fn initial() -> Self {
        // SAFETY: `init_net` is never freed, so that taking a reference is always allowed.
        let net = unsafe { shim::ktcp_get_net(&raw mut bindings::init_net) };
        // INVARIANT: `ktcp_get_net` returned its argument, which is not null, with a reference.
        // SAFETY: As said.
        Self(unsafe { NonNull::new_unchecked(net) })
    }

    /// The namespace of the calling task: within `init` of a module, that of `insmod`.
    ///
    /// # Errors
    ///
    /// `ESRCH` when the calling task is exiting and has left its namespaces.
    ///
    /// May be called from process context.
    pub fn current() -> Result<Self> {
        // SAFETY: Called for the current task, as every call is.
        let net = unsafe { shim::ktcp_get_current_net() };
        // INVARIANT: When it is not null, it came with a reference.
        NonNull::new(net).map(Self).ok_or(ESRCH)
    }

    /// The number of the inode that stands for it in user space: `readlink /proc/PID/ns/net` shows it of
    /// a process. Any context.
    pub(crate) fn inode(&self) -> u32 {
        // SAFETY: By the type invariant the namespace is valid.
        unsafe { shim::ktcp_net_inode(self.as_ptr()) }
    }

    pub(super) fn as_ptr(&self) -> *mut bindings::net {
        self.0.as_ptr()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this value owns a reference, which ends here.
        unsafe { shim::ktcp_put_net(self.as_ptr()) }
    }
}
