// SPDX-License-Identifier: GPL-2.0

//! Settings of a server.

use super::limits::Limits;
use crate::{
    connection::ConnConfig,
    executor::Executor,
    util::name::Name, //
};
use kernel::{
    prelude::*,
    time::Delta, //
};

/// Settings that the parts of a running server look at.
pub(super) struct Config {
    pub(super) name: Name,
    /// The name of the module that it belongs to.
    pub(super) module: Name,
    pub(super) executor: Executor,
    pub(super) limits: Limits,
    pub(super) conn: ConnConfig,
    pub(super) drain: Delta,
}

impl Config {
    /// Names the first setting that is out of its range.
    pub(super) fn check(&self) -> Result {
        const DAY: i64 = 24 * 60 * 60 * 1000;
        let millis = |timeout: Option<Delta>| timeout.map_or(1, Delta::as_millis);
        let settings = [
            (
                "the length of its name",
                self.name.given_len() as i64,
                1,
                Name::MAX as i64,
            ),
            (
                "max_connections",
                self.limits.connections as i64,
                1,
                1 << 24,
            ),
            (
                "max_per_peer",
                self.limits.per_peer.unwrap_or(1) as i64,
                1,
                1 << 24,
            ),
            ("peer_prefix_v4", self.limits.prefixes.v4.into(), 1, 32),
            ("peer_prefix_v6", self.limits.prefixes.v6.into(), 1, 128),
            ("idle_timeout", millis(self.conn.timeouts.idle), 1, DAY),
            (
                "receive_timeout",
                millis(self.conn.timeouts.receive),
                1,
                DAY,
            ),
            ("send_timeout", millis(self.conn.timeouts.send), 1, DAY),
            ("close_timeout", self.conn.close_timeout.as_millis(), 1, DAY),
            ("drain", self.drain.as_millis(), 0, DAY),
        ];
        for (setting, value, least, most) in settings {
            if !(least..=most).contains(&value) {
                let name: &CStr = &self.name;
                pr_err!("{name}: {setting} is {value}, and must be {least} to {most}\n");
                return Err(EINVAL);
            }
        }
        Ok(())
    }
}
