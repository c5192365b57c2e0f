// SPDX-License-Identifier: GPL-2.0

//! KUnit suites that use the library as a module would, with real sockets over loopback.
//!
//! The suites of private code are in `lib/`, beside the code.

/// Ends a function that returns a `Result` unless the condition holds.
///
/// Outside of `#[kunit_tests]`, the `assert!` of `core` would panic the kernel, and that of KUnit would
/// leave servers behind: it does not return, so nothing is dropped.
macro_rules! assert {
    ($condition:expr $(,)?) => {
        if !$condition {
            pr_err!(
                "{}:{}: not so: {}\n",
                file!(),
                line!(),
                stringify!($condition)
            );
            return Err(EINVAL);
        }
    };
}

/// Ends a function that returns a `Result` unless the two are the same.
macro_rules! assert_eq {
    ($left:expr, $right:expr $(,)?) => {{
        let (left, right) = (&$left, &$right);
        if *left != *right {
            let what = stringify!($left);
            pr_err!(
                "{}:{}: {what} is {left:?}, not {right:?}\n",
                file!(),
                line!()
            );
            return Err(EINVAL);
        }
    }};
}

/// Suites of the functions `$case` for each executor, which they take as their argument.
macro_rules! suites {
    (
        $kthread:ident, $workqueue:ident, $event_loop:ident $(, $softirq:ident, $trying:ident)?;
        $($case:ident,)*
    ) => {
        suites! { @one $kthread on_kthread Kthread (|case| case()) $($case)* }
        suites! { @one $workqueue on_workqueue Workqueue (|case| case()) $($case)* }
        suites! { @one $event_loop on_event_loop EventLoop (|case| case()) $($case)* }
        suites! { @awake $($softirq $trying)?; $($case)* }
    };
    // With a handler that does not sleep, and with one that tries first without sleeping.
    (@awake $softirq:ident $trying:ident; $($case:ident)*) => {
        suites! { @one $softirq on_softirq EventLoop (crate::probe::awake) $($case)* }
        suites! { @one $trying on_trying EventLoop (crate::probe::trying) $($case)* }
    };
    (@awake; $($case:ident)*) => {};
    (@one $suite:ident $module:ident $executor:ident ($with:expr) $($case:ident)*) => {
        #[kunit_tests($suite)]
        mod $module {
            use super::*;

            $(
                #[test]
                fn $case() -> Result {
                    let with: fn(fn() -> Result) -> Result = $with;
                    with(|| super::$case(Executor::$executor))
                        .inspect_err(|error| pr_err!("{}: {error:?}\n", stringify!($case)))
                }
            )*
        }
    };
}

mod circles;
mod command;
mod config;
mod ends;
mod fault;
mod files;
mod kthread;
mod lifecycle;
mod limits;
mod listening;
mod memory;
mod misuse;
mod net;
mod net_options;
// Modules cannot make namespaces.
#[cfg(not(MODULE))]
mod netns;
mod pages;
mod peers;
mod probe;
mod push;
mod registry;
mod settings;
mod support;
mod talk;
mod watch;
mod workqueue;

/// The module of the suites. There is none around code that is built into the kernel.
#[cfg(MODULE)]
static THIS_MODULE: kernel::ThisModule = {
    extern "C" {
        // Only its address is of interest.
        static __this_module: u8;
    }

    // SAFETY: The kernel's build system makes it, and it lives as long as this code.
    unsafe { kernel::ThisModule::from_ptr((&raw const __this_module).cast_mut().cast()) }
};

#[cfg(not(MODULE))]
// SAFETY: Built in, `THIS_MODULE` is null.
static THIS_MODULE: kernel::ThisModule =
    unsafe { kernel::ThisModule::from_ptr(core::ptr::null_mut()) };

extern "C" {
    fn ktcp_module_shutdown(module: *mut kernel::ffi::c_void);
}

/// Ends all threads, queues and servers that the module has left, as when it is unloaded.
fn module_going() {
    // SAFETY: The pointer is only compared.
    unsafe { ktcp_module_shutdown(THIS_MODULE.as_ptr().cast()) }
}

/// The prefix of each line that the `pr_` macros print.
const __LOG_PREFIX: &[u8] = b"ktcp_server_kunit\0";
