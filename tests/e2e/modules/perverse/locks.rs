// SPDX-License-Identifier: GPL-2.0

//! Uses what the library has for any context while a spinlock is held, with interrupts disabled.
//!
//! Again and again, in a handler that is called in softirq context and in a thread: a `SpinLockBh` is
//! taken inside of a `SpinLockIrq`. A thread sends to clients while it holds that lock, or a plain
//! spinlock, and drops what it sends with. In the end servers are dropped there.
//!
//! The library promises that the machine and its clients go on, that a kernel which checks its locks
//! has nothing to complain about, that sending says `EBUSY`, and that the servers end.

mod shelf;

use self::shelf::Shelf;
use core::net::Ipv4Addr;
use kernel::{
    new_spinlock,
    new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        SpinLock,
        SpinLockIrq, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use ktcp_server::{
    kthread::{
        self,
        JoinHandle, //
    },
    new_spinlock_bh,
    Handler,
    Input,
    KernelTcpServer,
    Next,
    Output,
    Peer,
    Sender,
    SocketAddr,
    SpinLockBh,
    Text, //
};

module! {
    type: Locks,
    name: "locks",
    authors: ["The ktcp_server authors"],
    description: "Takes locks inside of locks",
    license: "GPL",
}

ktcp_server::parameters! {
    struct Parameters {
        /// What is done while a lock is held: lock, send or drop
        program: Text<16> = Text::new("lock"),
        /// TCP port
        port: u16 = 12345,
    }
}

#[pin_data]
struct Shared {
    #[pin]
    irq: SpinLockIrq<u64>,
    #[pin]
    plain: SpinLock<u64>,
    #[pin]
    bh: SpinLockBh<u64>,
    /// How the peer that came last can be sent to.
    last: Arc<Shelf<Sender>>,
    busy: Atomic<u64>,
    otherwise: Atomic<u64>,
}

impl Shared {
    fn new() -> Result<Arc<Self>> {
        let last = Shelf::new()?;
        Arc::pin_init(
            pin_init!(Self {
                irq <- new_spinlock_irq!(0),
                plain <- new_spinlock!(0),
                bh <- new_spinlock_bh!(0),
                last,
                busy: Atomic::new(0),
                otherwise: Atomic::new(0),
            }),
            GFP_KERNEL,
        )
    }

    fn lock(&self) {
        let mut outer = self.irq.lock();
        *self.bh.lock() += 1;
        *outer += 1;
    }

    fn note(&self, sent: Result) {
        let count = match sent {
            Err(EBUSY) => &self.busy,
            _ => &self.otherwise,
        };
        count.add(1, Relaxed);
    }

    /// Sends to the peer that came last, and drops what that takes.
    fn send(&self) {
        let Some(sender) = self.last.take() else {
            return;
        };
        {
            let mut outer = self.irq.lock();
            self.note(sender.send(b"within"));
            drop(sender.clone());
            *outer += 1;
        }
        {
            let mut outer = self.plain.lock();
            self.note(sender.send(b"within"));
            *outer += 1;
        }
        let mut outer = self.irq.lock();
        drop(sender);
        *outer += 1;
    }
}

struct Echo {
    shared: Arc<Shared>,
}

impl Handler for Echo {
    type Session = ();

    const MAY_SLEEP: bool = false;

    fn open(&self, peer: &Peer<'_>) -> Result {
        self.shared.last.put(peer.sender());
        Ok(())
    }

    fn receive(
        &self,
        _session: &mut (),
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Next> {
        self.shared.lock();
        output.forward(input);
        Ok(Next::Receive)
    }
}

/// Drops servers while locks are held.
fn drop_servers(module: &'static ThisModule, shared: &Arc<Shared>) -> Result {
    let start = || {
        let handler = Echo {
            shared: shared.clone(),
        };
        KernelTcpServer::builder(c"locks2").start(module, handler)
    };
    for _ in 0..3 {
        let (one, two, three) = (start()?, start()?, start()?);
        {
            let mut outer = shared.irq.lock();
            drop(one);
            *outer += 1;
        }
        {
            let mut outer = shared.plain.lock();
            drop(two);
            *outer += 1;
        }
        let mut outer = shared.bh.lock();
        drop(three);
        *outer += 1;
    }
    pr_info!("servers are dropped\n");
    Ok(())
}

struct Locks {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    server: Option<KernelTcpServer>,
}

impl kernel::Module for Locks {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let set = Parameters::read()?;
        let shared = Shared::new()?;
        let handler = Echo {
            shared: shared.clone(),
        };
        let server = KernelTcpServer::builder(c"locks")
            .listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, set.port)))
            .start(module, handler)?;
        let deed = match set.program.as_str() {
            "lock" => Shared::lock,
            "send" => Shared::send,
            "drop" => {
                drop_servers(module, &shared)?;
                Shared::lock
            }
            _ => return Err(EINVAL),
        };
        let inside = shared.clone();
        let thread = kthread::spawn(module, c"locks/thread", move |stop| {
            while !stop.is_requested() {
                for _ in 0..500 {
                    deed(&inside);
                }
                fsleep(Delta::from_micros(100));
            }
        })?;
        Ok(Self {
            shared,
            thread: Some(thread),
            server: Some(server),
        })
    }
}

impl Drop for Locks {
    fn drop(&mut self) {
        self.thread = None;
        self.server = None;
        let (locked, inner) = (*self.shared.irq.lock(), *self.shared.bh.lock());
        pr_info!("locked {locked} times, and {inner} times inside\n");
        let (busy, otherwise) = (
            self.shared.busy.load(Relaxed),
            self.shared.otherwise.load(Relaxed),
        );
        pr_info!("sent {busy} times when busy, and {otherwise} times otherwise\n");
    }
}
