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
use core::fmt::{
    Formatter,
    Result as Written, //
};
use kernel::{
    debugfs::{
        Dir,
        Scope, //
    },
    prelude::*,
    sync::Arc,
    time::Delta, //
};

/// The files of a server. Dropping it removes them, and waits for readers.
pub(super) type Files = Pin<KBox<Scope<Arc<Shared>>>>;

/// Makes the files of a server in its folder `name`. May sleep.
///
/// Files that cannot be made are missing, and the server starts without them: debugfs is for those
/// who look at a system, and nothing must depend on it, as everywhere in the kernel.
pub(super) fn publish(root: &Dir, name: &CStr, server: Arc<Shared>) -> Result<Files> {
    let files = root.scope(server, name, |server, dir| {
        dir.read_callback_file(c"stats", server, &stats);
        dir.read_callback_file(c"connections", server, &connections);
        dir.read_callback_file(c"config", server, &config);
    });
    KBox::pin_init(files, GFP_KERNEL)
}

fn stats(server: &Arc<Shared>, f: &mut Formatter<'_>) -> Written {
    for (name, value) in server.statistics().fields() {
        writeln!(f, "{name:<24} {value}")?;
    }
    Ok(())
}

fn connections(server: &Arc<Shared>, f: &mut Formatter<'_>) -> Written {
    writeln!(f, "{:<48} {:<8} {:>10}", "peer", "state", "idle_ms")?;
    server.for_each(|connection| connection.describe(f))
}

/// Nothing for a timeout that is off.
fn millis(timeout: Option<Delta>) -> i64 {
    timeout.map_or(0, Delta::as_millis)
}

fn config(server: &Arc<Shared>, f: &mut Formatter<'_>) -> Written {
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
