// SPDX-License-Identifier: GPL-2.0

//! Feeds what clients send to a conversation, and to hyper, as libFuzzer comes up with it.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| khttpd_fuzz::check(data));
