// SPDX-License-Identifier: GPL-2.0

//! Files that show a server under `/sys/kernel/debug/ktcp_server/<name>/`.
//!
//! - `stats`: the fields of [`Statistics`](crate::Statistics), one in a line;
//! - `connections`: a line for each connection;
//! - `config`: the settings that the server runs with.

use super::{
    config::Config,
    listening::ListenConfig,
    shared::Shared, //
};
use crate::module::debugfs::{
    Dir,
    Files,
    Show, //
};
use core::fmt::{
    Formatter,
    Result as Written, //
};
use kernel::{
    prelude::*,
    sync::Arc,
    time::Delta, //
};

/// A file of a server.
struct File {
    server: Arc<Shared>,
    show: fn(&Shared, &mut Formatter<'_>) -> Written,
}

impl Show for File {
    fn show(&self, f: &mut Formatter<'_>) -> Written {
        (self.show)(&self.server, f)
    }
}

/// Makes the files of a server in its folder `name`. May sleep.
pub(super) fn publish(root: &Arc<Dir>, name: &CStr, server: &Arc<Shared>) -> Result<Files> {
    let mut files = KVec::new();
    for (name, show) in [
        (
            c"stats",
            stats as fn(&Shared, &mut Formatter<'_>) -> Written,
        ),
        (c"connections", connections),
        (c"config", config),
    ] {
        let server = server.clone();
        let file: KBox<dyn Show> = KBox::new(File { server, show }, GFP_KERNEL)?;
        files.push((name, file), GFP_KERNEL)?;
    }
    Ok(Files::new(Dir::new(name, Some(root)), files))
}

fn stats(server: &Shared, f: &mut Formatter<'_>) -> Written {
    for (name, value) in server.statistics().fields() {
        writeln!(f, "{name:<24} {value}")?;
    }
    Ok(())
}

fn connections(server: &Shared, f: &mut Formatter<'_>) -> Written {
    writeln!(f, "{:<48} {:<8} {:>10}", "peer", "state", "idle_ms")?;
    server.for_each(|connection| connection.describe(f))
}

/// Nothing for a timeout that is off.
fn millis(timeout: Option<Delta>) -> i64 {
    timeout.map_or(0, Delta::as_millis)
}

fn config(server: &Shared, f: &mut Formatter<'_>) -> Written {
    let Config {
        name: _,
        module,
        executor,
        limits,
        conn,
        drain,
    } = &server.config;
    let ListenConfig {
        addr,
        namespace,
        options,
    } = &server.listen;
    let timeouts = &conn.timeouts;
    let module: &CStr = module;
    f.write_fmt(fmt!("{:<24} {}\n", "module", module))?;
    writeln!(f, "{:<24} {namespace}", "net_namespace")?;
    writeln!(f, "{:<24} {addr:?}", "listen")?;
    options.show(f)?;
    writeln!(f, "{:<24} {}", "executor", executor.name())?;
    for (name, value) in [
        ("input_buffer", conn.input.bytes() as i64),
        ("output_buffer", conn.output.bytes() as i64),
        ("max_connections", limits.connections as i64),
        (
            "max_per_peer",
            limits.per_peer.map_or(0, |limit| limit as i64),
        ),
        ("peer_prefix_v4", limits.prefixes.v4.into()),
        ("peer_prefix_v6", limits.prefixes.v6.into()),
        ("idle_timeout_ms", millis(timeouts.idle)),
        ("receive_timeout_ms", millis(timeouts.receive)),
        ("send_timeout_ms", millis(timeouts.send)),
        ("close_timeout_ms", conn.close_timeout.as_millis()),
        ("drain_ms", drain.as_millis()),
    ] {
        writeln!(f, "{name:<24} {value}")?;
    }
    Ok(())
}
