// SPDX-License-Identifier: GPL-2.0

//! HTTP/1.1 and 1.0 as a server speaks them (RFC 9110 and 9112), apart from sockets and files.
//!
//! Nothing here is of the kernel, and nothing allocates: cargo compiles it as well, for its tests
//! and for fuzzing.

pub mod authority;
pub mod body;
#[cfg(any(test, feature = "check"))]
pub mod check;
pub mod conditions;
pub mod conversation;
pub mod date;
pub mod field;
pub mod html;
pub mod media;
pub mod path;
pub mod range;
pub mod request;
pub mod response;
#[cfg(any(test, feature = "check"))]
pub mod seen;
pub mod site;
pub mod status;

#[cfg(test)]
mod tests;
