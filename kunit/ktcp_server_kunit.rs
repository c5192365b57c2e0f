// SPDX-License-Identifier: GPL-2.0

//! KUnit suites that use the library as a module would, with real sockets over loopback.
//!
//! What is private to the library has its suites beside the code, in `lib/`.

mod net;
mod net_options;
mod server;
mod support;

/// There is no module around code that is built into the kernel.
// SAFETY: Built in, `THIS_MODULE` is null.
static THIS_MODULE: kernel::ThisModule =
    unsafe { kernel::ThisModule::from_ptr(core::ptr::null_mut()) };

/// What the `pr_` macros put before each line.
const __LOG_PREFIX: &[u8] = b"ktcp_server_kunit\0";
