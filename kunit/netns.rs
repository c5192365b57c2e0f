// SPDX-License-Identifier: GPL-2.0

//! Servers in a network namespace of their own, and connections that are cut, on every executor.

use crate::{
    probe::{
        builder,
        eventually,
        start,
        Record, //
    },
    support::{
        connect,
        exchange,
        Stopwatch, //
    },
    THIS_MODULE, //
};
use core::net::SocketAddr;
use kernel::{
    error::to_result,
    prelude::*,
    sync::Arc,
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    }, //
};
use ktcp_server::{
    error::{
        ECONNREFUSED,
        ETIMEDOUT, //
    },
    kthread,
    net::{
        Keepalive,
        Namespace,
        TcpStream, //
    },
    Builder,
    CloseReason,
    Executor,
    KernelTcpServer, //
};

extern "C" {
    fn ktcp_kunit_unshare_net(cookie: *mut u64) -> c_int;
    fn ktcp_kunit_net_exists(cookie: u64) -> bool;
    fn ktcp_kunit_net_up(cookie: u64, up: bool) -> c_int;
}

/// A namespace on which the test holds no reference.
#[derive(Clone, Copy)]
struct Nameless(u64);

impl Nameless {
    fn exists(self) -> bool {
        // SAFETY: May be called from any task that can sleep.
        unsafe { ktcp_kunit_net_exists(self.0) }
    }

    /// Cuts all connections within it: nothing that is sent from now on arrives.
    fn cut(self) -> Result {
        // SAFETY: May be called from any task that can sleep.
        to_result(unsafe { ktcp_kunit_net_up(self.0, false) })
    }
}

/// Calls `f` in a task in a new namespace. That task has ended when this returns.
fn in_new_namespace<T: Send + 'static>(
    f: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<(T, Nameless)> {
    let task = kthread::spawn(&THIS_MODULE, c"ktcp-netns", move |_| {
        let mut cookie = 0;
        // SAFETY: `cookie` is valid for a write, and this task needs no other namespace.
        to_result(unsafe { ktcp_kunit_unshare_net(&raw mut cookie) })?;
        Ok::<_, Error>((f()?, Nameless(cookie)))
    })?;
    task.join()?
}

/// A server in a new namespace, and a client in it.
struct Inside {
    server: KernelTcpServer,
    record: Arc<Record>,
    addr: SocketAddr,
    client: TcpStream,
    namespace: Nameless,
}

fn inside(builder: Builder) -> Result<Inside> {
    let ((server, record, addr, client), namespace) = in_new_namespace(move || {
        // The builder uses the namespace of the task that starts the server.
        let (server, record, addr) = start(builder)?;
        let client = TcpStream::connect(&Namespace::current()?, addr)?;
        client.set_read_timeout(Some(Delta::from_secs(10)))?;
        Ok((server, record, addr, client))
    })?;
    exchange(&client, b"hello")?;
    Ok(Inside {
        server,
        record,
        addr,
        client,
        namespace,
    })
}

fn a_namespace_stays_as_long_as_its_server(executor: Executor) -> Result {
    let Inside {
        server,
        client,
        addr,
        namespace,
        record,
    } = inside(builder(executor))?;
    // No task is in the namespace any more, and only the sockets hold references on it.
    fsleep(Delta::from_millis(50));
    assert!(namespace.exists());
    for _ in 0..10 {
        assert!(exchange(&client, b"hello")?[..] == b"hello"[..]);
    }
    // The server cannot be reached from outside, and its port is free there.
    assert_eq!(connect(addr).err(), Some(ECONNREFUSED));
    let (outer, _, _) = start(builder(executor).listen(addr))?;
    exchange(&connect(addr)?, b"hello")?;
    drop(outer);

    // The client has the last socket in the namespace.
    drop(server);
    assert_eq!(record.closed(), 1);
    assert_eq!(client.read(&mut [0; 4])?, 0);
    assert!(namespace.exists());
    drop(client);
    assert!(eventually(|| !namespace.exists()));
    Ok(())
}

fn a_namespace_goes_after_its_server(executor: Executor) -> Result {
    // In this order the server's socket is the last one in the namespace.
    let inside = inside(builder(executor))?;
    drop(inside.client);
    assert!(inside.namespace.exists());
    drop(inside.server);
    assert!(eventually(|| !inside.namespace.exists()));
    Ok(())
}

/// Cuts the connection of `inside` and waits for its end.
fn cut(inside: &Inside) -> Result {
    inside.namespace.cut()?;
    let sender = inside
        .record
        .senders
        .with(|senders| senders.last().cloned());
    let sender = sender.ok_or(EINVAL)?;
    let _ = sender.send(b"is anybody there?");
    assert!(eventually(|| inside.record.closed() == 1));
    Ok(())
}

fn ended_by_timeout(inside: &Inside) -> Result {
    let reason = inside.record.last_reason();
    assert_eq!(reason, Some(CloseReason::Broken(ETIMEDOUT)));
    assert!(eventually(|| inside.server.statistics().closed_broken == 1));
    Ok(())
}

fn a_user_timeout_ends_a_cut_connection(executor: Executor) -> Result {
    let timeout = Delta::from_millis(500);
    let inside = inside(builder(executor).user_timeout(timeout))?;
    let watch = Stopwatch::start();
    cut(&inside)?;
    assert!(watch.has_run(400));
    ended_by_timeout(&inside)
}

fn keepalive_ends_a_cut_connection(executor: Executor) -> Result {
    let inside = inside(builder(executor).keepalive(Keepalive::new(1, 1, 1)?))?;
    // Neither end sends anything: only the kernel's probes find out.
    let watch = Stopwatch::start();
    inside.namespace.cut()?;
    assert!(eventually(|| inside.record.closed() == 1));
    assert!(watch.has_run(900));
    ended_by_timeout(&inside)
}

fn without_either_a_cut_connection_stays(executor: Executor) -> Result {
    // The control of the two tests above: TCP alone takes minutes to give up.
    let inside = inside(builder(executor))?;
    inside.namespace.cut()?;
    fsleep(Delta::from_millis(3000));
    assert_eq!(inside.record.closed(), 0);
    // Stopping does not wait for the peer either.
    let begin = Instant::<Monotonic>::now();
    drop(inside.server);
    assert!(begin.elapsed().as_millis() < 10_000);
    assert_eq!(inside.record.closed(), 1);
    Ok(())
}

suites! {
    ktcp_netns_kthread, ktcp_netns_workqueue, ktcp_netns_event_loop;
    a_namespace_stays_as_long_as_its_server,
    a_namespace_goes_after_its_server,
    a_user_timeout_ends_a_cut_connection,
    keepalive_ends_a_cut_connection,
    without_either_a_cut_connection_stays,
}
