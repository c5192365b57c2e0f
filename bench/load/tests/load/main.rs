// SPDX-License-Identifier: GPL-2.0

//! `ktcp-bench` as its users call it.

mod address;
mod csv;
mod echo;
mod http;
mod rate;
mod reconnects;
mod servers;
mod small;
