// SPDX-License-Identifier: GPL-2.0

//! The listener of a server, and how it is replaced.
//!
//! A listener can end under its server: `tcp_abort()` takes it out of the tables of TCP, be it for an
//! operator (`ss -K`, a `SOCK_DESTROY` request) or for a BPF program (`bpf_sock_destroy()`). Every
//! `accept` then fails with `EINVAL`, as after a shutdown, and the socket cannot listen again: what it
//! accepted would be shut down from the start. Nothing else ends a listener. A namespace stays as long
//! as it has sockets, an address or a device that goes leaves the listener where it is, and MPTCP
//! refuses to have its listeners aborted.

use crate::{
    net::{
        ListenOptions,
        Namespace,
        Refusal,
        TcpListener, //
    },
    stats::{
        Counter,
        Counters, //
    },
    sync::{
        latch::Latch,
        lock_class::new_mutex, //
    },
    util::backoff::Backoff, //
};
use core::net::SocketAddr;
use kernel::{
    prelude::*,
    sync::{
        Arc,
        Mutex, //
    }, //
};

/// Where a server listens, and how.
#[derive(Clone)]
pub(super) struct ListenConfig {
    /// With the port that was chosen.
    pub(super) addr: SocketAddr,
    /// The inode of the network namespace.
    pub(super) namespace: u32,
    pub(super) options: ListenOptions,
}

struct Current {
    listener: Arc<TcpListener>,
    /// Nothing listens again.
    closed: bool,
}

/// The listener that a server has now, and what it takes to make one like it.
#[pin_data]
pub(super) struct Listening {
    namespace: Namespace,
    config: ListenConfig,
    /// Locked while a new listener is made: [`close`](Self::close) finds either the old one or the
    /// new one in here.
    #[pin]
    current: Mutex<Current>,
}

impl Listening {
    /// Listens on `addr`. The errors are those of [`ListenOptions::bind`]. May sleep.
    pub(super) fn new(
        namespace: Namespace,
        options: ListenOptions,
        mut addr: SocketAddr,
    ) -> Result<Arc<Self>, Refusal> {
        let listener = options.clone().try_bind(&namespace, addr)?;
        // The one that was chosen, if it was 0.
        addr.set_port(listener.local_addr()?.port());
        Ok(Self::with(namespace, options, addr, listener)?)
    }

    fn with(
        namespace: Namespace,
        options: ListenOptions,
        addr: SocketAddr,
        listener: TcpListener,
    ) -> Result<Arc<Self>> {
        let listener = Arc::new(listener, GFP_KERNEL)?;
        let config = ListenConfig {
            addr,
            namespace: namespace.inode(),
            options,
        };
        Arc::pin_init(
            pin_init!(Self {
                namespace,
                config,
                current <- new_mutex!(Current {
                    listener,
                    closed: false,
                }),
            }),
            GFP_KERNEL,
        )
    }

    /// Where it listens, and how. Any context.
    pub(super) fn config(&self) -> &ListenConfig {
        &self.config
    }

    /// The listener of now. May sleep.
    pub(super) fn current(&self) -> Arc<TcpListener> {
        self.current.lock().listener.clone()
    }

    /// Makes a new listener after accepting has failed with `error`, however often that has to be
    /// tried, for the server `name`; `None` when the server stops before that. Sleeps.
    pub(super) fn again(
        &self,
        name: &CStr,
        error: Error,
        backoff: &mut Backoff,
        stopping: &Latch,
        counters: &Counters,
    ) -> Option<Arc<TcpListener>> {
        let addr = self.config.addr;
        let mut told = false;

        pr_warn!("{name}: the listener on {addr:?} was closed by another: {error:?}\n");
        loop {
            stopping.wait_timeout(backoff.next_pause());
            if stopping.is_open() {
                return None;
            }
            match self.renew() {
                Ok(renewed) => {
                    // There is none if the server has begun to stop meanwhile.
                    if renewed.is_some() {
                        pr_info!("{name}: listening on {addr:?} again\n");
                        counters.add(Counter::ListenerRestarts, 1);
                    }
                    return renewed;
                }
                Err(error) => {
                    counters.add(Counter::AcceptErrors, 1);
                    if !told {
                        pr_warn!("{name}: cannot listen on {addr:?} again yet: {error:?}\n");
                    }
                    told = true;
                }
            }
        }
    }

    /// Listens again on the same address with the same options, and returns the new listener; `None`
    /// after [`close`](Self::close). The errors are those of [`ListenOptions::bind`]. May sleep.
    ///
    /// The old listener keeps its port until there is a new one: only a program that wants to share
    /// the address (`SO_REUSEADDR`) can take it meanwhile.
    fn renew(&self) -> Result<Option<Arc<TcpListener>>> {
        let mut current = self.current.lock();
        if current.closed {
            return Ok(None);
        }
        let ListenConfig { addr, options, .. } = &self.config;
        let listener = options.clone().bind(&self.namespace, *addr)?;
        current.listener = Arc::new(listener, GFP_KERNEL)?;
        Ok(Some(current.listener.clone()))
    }

    /// Stops listening for good. May sleep.
    pub(super) fn close(&self) {
        let mut current = self.current.lock();
        current.closed = true;
        current.listener.shutdown();
    }
}

#[cfg(CONFIG_KTCP_KUNIT_TEST)]
#[kunit_tests(ktcp_listening)]
mod tests {
    use super::*;
    use crate::util::error::EADDRINUSE;
    use core::net::Ipv4Addr;

    #[test]
    fn a_new_listener_has_the_address_of_the_old_one_until_it_is_closed() -> Result {
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let listening = Listening::new(Namespace::initial(), TcpListener::options(), any)?;
        let addr = listening.config().addr;
        assert!(addr.port() != 0);
        assert_eq!(listening.renew().err(), Some(EADDRINUSE));

        // As if another had closed it.
        listening.current().shutdown();
        let renewed = listening.renew()?.ok_or(ENOENT)?;
        assert_eq!(renewed.local_addr()?, addr);
        assert_eq!(renewed.try_accept().err(), Some(EAGAIN));

        // The task that stops the server finds the new one, and nothing follows it.
        listening.close();
        assert_eq!(renewed.try_accept().err(), Some(EINVAL));
        assert!(listening.renew()?.is_none());
        drop(TcpListener::bind(&Namespace::initial(), addr)?);
        Ok(())
    }
}
