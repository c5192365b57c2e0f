// SPDX-License-Identifier: GPL-2.0

//! Misuse that the types cannot forbid, on every executor; more about dropping is in `lifecycle`.

use crate::{
    command::Command,
    probe::{
        builder,
        eventually,
        start,
        Probe,
        Record,
        MUTUAL, //
    },
    support::{
        connect,
        exchange,
        read_to_end, //
    },
    THIS_MODULE, //
};
use core::ffi::CStr;
use kernel::{
    impl_has_work,
    new_work,
    prelude::*,
    str::CString,
    sync::{
        atomic::Relaxed,
        Arc, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    },
    workqueue::{
        Work,
        WorkItem, //
    }, //
};
use ktcp_server::{
    error::ECONNREFUSED,
    kthread,
    workqueue::OwnedQueue,
    CloseReason,
    Executor,
    KernelTcpServer, //
};

/// Opens the gate of a record when it is dropped: a test that fails must not hang.
struct Opening(Arc<Record>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.gate.store(1, Relaxed);
    }
}

fn stopping_waits_for_a_handler_that_does_not_return(executor: Executor) -> Result {
    let (server, record, addr) = start(builder(executor))?;
    let opening = Opening(record.clone());
    let (stuck, idle) = (connect(addr)?, connect(addr)?);
    exchange(&idle, b"hello")?;
    stuck.write_all(&Command::Block.message())?;
    assert!(eventually(|| record.stuck.load(Relaxed) == 1));
    if executor != Executor::EventLoop {
        // Not on the event loop, where the idle connection may share the loop of the stuck one.
        exchange(&idle, b"hello")?;
    }

    let stop = kthread::spawn(&THIS_MODULE, c"ktcp-stop", move |_| {
        server.shutdown(Delta::from_millis(100));
    })?;
    fsleep(Delta::from_millis(1000));
    let waits = !stop.is_finished();
    // The server has stopped listening all the same.
    let refused = connect(addr).err();
    drop(opening);
    stop.join()?;
    assert!(waits);
    assert_eq!(refused, Some(ECONNREFUSED));
    assert_eq!(record.closed(), 2);
    assert_eq!(record.last_reason(), Some(CloseReason::Stopped));
    assert_eq!(record.handlers_dropped.load(Relaxed), 1);
    Ok(())
}

fn a_handler_may_start_a_server(executor: Executor) -> Result {
    let (outer, record, addr) = start(builder(executor))?;
    let client = connect(addr)?;
    let start_server = Command::StartServer.message();
    assert!(exchange(&client, &start_server)?[..] == start_server);
    let inner = record.victim.with(Option::take).ok_or(EINVAL)?;
    let inner_addr = inner.local_addr();
    let inside = connect(inner_addr)?;
    exchange(&inside, b"hello")?;

    // Each server lives as long as its `KernelTcpServer`.
    drop(outer);
    assert_eq!(connect(addr).err(), Some(ECONNREFUSED));
    exchange(&inside, b"hello")?;
    drop(inner);
    assert_eq!(connect(inner_addr).err(), Some(ECONNREFUSED));
    assert_eq!(record.handlers_dropped.load(Relaxed), 2);
    Ok(())
}

fn servers_may_share_what_their_handlers_share(executor: Executor) -> Result {
    let record = Record::new()?;
    let probe = || Probe::<true> {
        record: record.clone(),
    };
    let one = builder(executor).start(&THIS_MODULE, probe())?;
    let other = builder(executor).start(&THIS_MODULE, probe())?;
    let clients = (connect(one.local_addr())?, connect(other.local_addr())?);
    exchange(&clients.0, b"hello")?;
    exchange(&clients.1, b"hello")?;
    assert_eq!(record.opened(), 2);
    assert!(eventually(|| one.statistics().accepted == 1));

    drop(one);
    assert!(read_to_end(&clients.0, 1)?.is_empty());
    exchange(&clients.1, b"hello")?;
    assert_eq!(record.handlers_dropped.load(Relaxed), 1);
    drop(other);
    assert_eq!(record.handlers_dropped.load(Relaxed), 2);
    assert_eq!(record.closed(), 2);
    Ok(())
}

#[repr(align(64))]
struct Blank {
    _memory: [u8; 8192],
}

/// A `struct module` of zeros: it has no memory, so no code lies within it.
static BLANK: Blank = Blank { _memory: [0; 8192] };

// SAFETY: The library reads only the fields that say where the module's memory is.
static STRANGER: ThisModule = unsafe { ThisModule::from_ptr((&raw const BLANK).cast_mut().cast()) };

/// A work item of this module.
#[pin_data]
struct Item {
    #[pin]
    work: Work<Item>,
}

impl_has_work! {
    impl HasWork<Self> for Item { self.work }
}

impl Item {
    fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self { work <- new_work!("Item::work") }),
            GFP_KERNEL,
        )
    }
}

impl WorkItem for Item {
    type Pointer = Arc<Self>;

    fn run(_this: Arc<Self>) {}
}

fn a_name_is_a_copy(executor: Executor) -> Result {
    let record = Record::new()?;
    let probe = Probe::<true> {
        record: record.clone(),
    };
    let name = CString::try_from_fmt(fmt!("short-lived"))?;
    let server = KernelTcpServer::builder(&name)
        .executor(executor)
        .start(&THIS_MODULE, probe)?;
    drop(name);
    exchange(&connect(server.local_addr())?, b"hello")?;
    drop(server);

    // Sixty-four bytes.
    let long = c"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    for name in [c"", long] {
        let probe = Probe::<true> {
            record: record.clone(),
        };
        let refused = KernelTcpServer::builder(name).start(&THIS_MODULE, probe);
        assert_eq!(refused.err(), Some(EINVAL));
    }
    assert_eq!(record.handlers_dropped.load(Relaxed), 3);
    Ok(())
}

fn another_module_cannot_be_named(executor: Executor) -> Result {
    let record = Record::new()?;
    let probe = Probe::<true> {
        record: record.clone(),
    };
    assert_eq!(
        builder(executor).start(&STRANGER, probe).err(),
        Some(EINVAL)
    );
    assert_eq!(record.handlers_dropped.load(Relaxed), 1);
    assert_eq!(
        kthread::spawn(&STRANGER, c"ktcp-lost", |_| ()).err(),
        Some(EINVAL)
    );
    // A queue can be made for another module, but runs no code of this one.
    let queue = OwnedQueue::new(&STRANGER, c"ktcp-lost")?;
    assert_eq!(queue.spawn(|| ()).err(), Some(EINVAL));
    assert!(queue.enqueue(Item::new()?).is_err());
    Ok(())
}

fn handlers_may_drop_each_others_servers(executor: Executor) -> Result {
    let (one, one_record, one_addr) = start(builder(executor))?;
    let (other, other_record, other_addr) = start(builder(executor))?;
    one_record.victim.with(|slot| *slot = Some(other));
    other_record.victim.with(|slot| *slot = Some(one));
    MUTUAL.store(0, Relaxed);
    let clients = (connect(one_addr)?, connect(other_addr)?);
    let drop_together = Command::DropServerTogether.message();
    clients.0.write_all(&drop_together)?;
    clients.1.write_all(&drop_together)?;
    // Neither handler waits for the server of the other.
    for record in [&one_record, &other_record] {
        assert!(eventually(|| record.handlers_dropped.load(Relaxed) == 1));
        assert_eq!(record.closed(), 1);
    }
    Ok(())
}

suites! {
    ktcp_misuse_kthread, ktcp_misuse_workqueue, ktcp_misuse_event_loop;
    stopping_waits_for_a_handler_that_does_not_return,
    a_handler_may_start_a_server,
    handlers_may_drop_each_others_servers,
    servers_may_share_what_their_handlers_share,
    another_module_cannot_be_named,
    a_name_is_a_copy,
}

extern "C" {
    fn ktcp_kunit_log_lines(text: *const c_char) -> c_uint;
}

/// Returns the number of log lines that contain `text`.
fn complaints(text: &CStr) -> u32 {
    // SAFETY: May be called from any task, and the text ends with a NUL.
    unsafe { ktcp_kunit_log_lines(text.as_char_ptr()) }
}

fn the_log_tells_of_what_does_not_return() -> Result {
    let of_handler = || complaints(c"probe: waiting for a handler that does not return");
    let of_thread = || complaints(c"ktcp-deaf: waiting for a thread that does not end");
    // One executor is enough: all three share the code that waits.
    let (server, record, addr) = start(builder(Executor::Workqueue))?;
    let opening = Opening(record.clone());
    let stuck = connect(addr)?;
    stuck.write_all(&Command::Block.message())?;
    assert!(eventually(|| record.stuck.load(Relaxed) == 1));

    let gate = record.clone();
    let deaf = kthread::spawn(&THIS_MODULE, c"ktcp-deaf", move |_| {
        while gate.gate.load(Relaxed) == 0 {
            fsleep(Delta::from_millis(50));
        }
    })?;

    let (before, threads_before) = (of_handler(), of_thread());
    let begin = Instant::<Monotonic>::now();
    let stop = kthread::spawn(&THIS_MODULE, c"ktcp-stop", move |_| {
        server.shutdown(Delta::from_millis(100));
    })?;
    let ask = kthread::spawn(&THIS_MODULE, c"ktcp-ask", move |_| deaf.stop())?;
    let mut seen = [None; 2];
    for (number, at) in (before + 1..).zip(&mut seen) {
        // `eventually` would read the log too often, which takes time.
        while at.is_none() && begin.elapsed().as_millis() < 60_000 {
            fsleep(Delta::from_millis(500));
            if of_handler() >= number {
                *at = Some(begin.elapsed().as_millis());
            }
        }
    }
    let threads = of_thread() - threads_before;
    drop(opening);
    stop.join()?;
    ask.join()??;
    let after = of_handler();

    // A line ten seconds after the deadline, and another ten seconds later.
    let [Some(first), Some(second)] = seen else {
        return Err(ETIMEDOUT);
    };
    assert!(first >= 9_000);
    assert!(second - first >= 9_000);
    assert!(i64::from(after - before) <= begin.elapsed().as_millis() / 10_000);
    assert!(threads > 0 && i64::from(threads) <= begin.elapsed().as_millis() / 10_000);
    assert_eq!(record.last_reason(), Some(CloseReason::Stopped));
    Ok(())
}

#[kunit_tests(ktcp_misuse_log)]
mod once {
    #[test]
    fn the_log_tells_of_what_does_not_return() -> kernel::prelude::Result {
        super::the_log_tells_of_what_does_not_return()
    }
}
