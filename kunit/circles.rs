// SPDX-License-Identifier: GPL-2.0

//! Tasks that wait for each other, handlers that own their server, and handlers that wait for a peer: a
//! server stops in spite of each.

use crate::{
    probe::{
        builder,
        eventually, //
    },
    support::{
        any_port,
        connect,
        exchange,
        namespace,
        Locked, //
    },
    THIS_MODULE, //
};
use core::net::SocketAddr;
use kernel::{
    new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        SpinLockIrq, //
    },
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    }, //
};
use ktcp_server::{
    error::EDEADLK,
    kthread::{
        self,
        JoinHandle, //
    },
    net::{
        TcpListener,
        TcpStream, //
    },
    new_spinlock_bh,
    testing,
    workqueue::{
        OwnedQueue,
        Pending, //
    },
    Executor,
    Handler,
    Input,
    KernelTcpServer,
    Next,
    Output,
    Peer,
    SpinLockBh, //
};

/// A place where one task leaves a value for another.
type Shelf<T> = Arc<Locked<Option<T>>>;

fn shelf<T: Unpin>() -> Result<Shelf<T>> {
    Arc::pin_init(Locked::new(None), GFP_KERNEL)
}

/// Takes the value from the shelf as soon as it is there.
fn take<T: Unpin>(shelf: &Shelf<T>) -> Result<T> {
    let mut taken = None;
    eventually(|| {
        taken = shelf.with(Option::take);
        taken.is_some()
    });
    taken.ok_or(ETIMEDOUT)
}

/// A handler that calls its closure, and echoes the input if that succeeds.
struct Acting<F> {
    act: F,
    /// Number of handlers that were dropped.
    dropped: Arc<Atomic<i32>>,
    /// A server that the handler owns and that is dropped with it.
    _owns: Option<Shelf<KernelTcpServer>>,
}

impl<F> Acting<F> {
    fn new(act: F) -> Result<(Self, Arc<Atomic<i32>>)> {
        let dropped = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let handler = Self {
            act,
            dropped: dropped.clone(),
            _owns: None,
        };
        Ok((handler, dropped))
    }
}

impl<F> Drop for Acting<F> {
    fn drop(&mut self) {
        self.dropped.fetch_add(1, Relaxed);
    }
}

impl<F: Fn() -> Result + Send + Sync + 'static> Handler for Acting<F> {
    type Session = ();

    fn open(&self, _peer: &Peer<'_>) -> Result {
        Ok(())
    }

    fn receive(&self, _: &mut (), input: &mut Input<'_>, output: &mut Output<'_>) -> Result<Next> {
        (self.act)()?;
        output.forward(input);
        Ok(Next::Receive)
    }
}

/// A server with that handler, in a namespace whose loopback device is up.
fn serve<F>(executor: Executor, handler: Acting<F>) -> Result<(KernelTcpServer, SocketAddr)>
where
    F: Fn() -> Result + Send + Sync + 'static,
{
    namespace()?;
    let server = builder(executor).start(&THIS_MODULE, handler)?;
    let addr = server.local_addr();
    Ok((server, addr))
}

/// A listener that accepts and says nothing, and its address.
fn silent_upstream() -> Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind(&namespace()?, any_port())?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

fn a_handler_may_own_its_server(executor: Executor) -> Result {
    for clients in [0, 3] {
        let owns = shelf()?;
        let (mut handler, dropped) = Acting::new(|| Ok(()))?;
        handler._owns = Some(owns.clone());
        let (server, addr) = serve(executor, handler)?;
        let mut streams = KVec::new();
        for _ in 0..clients {
            let stream = connect(addr)?;
            exchange(&stream, b"hello")?;
            streams.push(stream, GFP_KERNEL)?;
        }
        owns.with(|slot| *slot = Some(server));
        // Now the handler alone owns the server.
        drop(owns);
        // A slow thread holds the end up after all were asked to stop, and before each has been ended.
        core::mem::forget(kthread::spawn(&THIS_MODULE, c"ktcp-slow", |stop| {
            while !stop.wait(Delta::from_secs(60)) {}
            fsleep(Delta::from_millis(500));
        })?);
        crate::module_going();
        assert_eq!(dropped.load(Relaxed), 1);
        assert_eq!(crate::fault::tasks(c"probe/"), 0);
    }
    Ok(())
}

fn handlers_may_own_each_others_servers(executor: Executor) -> Result {
    let (one_owns, other_owns) = (shelf()?, shelf()?);
    let (mut one, one_dropped) = Acting::new(|| Ok(()))?;
    let (mut other, other_dropped) = Acting::new(|| Ok(()))?;
    one._owns = Some(one_owns.clone());
    other._owns = Some(other_owns.clone());
    let (one, _) = serve(executor, one)?;
    let (other, _) = serve(executor, other)?;
    one_owns.with(|slot| *slot = Some(other));
    other_owns.with(|slot| *slot = Some(one));
    drop((one_owns, other_owns));
    crate::module_going();
    assert_eq!(one_dropped.load(Relaxed), 1);
    assert_eq!(other_dropped.load(Relaxed), 1);
    Ok(())
}

fn a_handler_that_joins_what_drops_its_server_goes_on(executor: Executor) -> Result {
    let owns: Shelf<KernelTcpServer> = shelf()?;
    let joined = shelf()?;
    let (from_shelf, result) = (owns.clone(), joined.clone());
    let (handler, dropped) = Acting::new(move || {
        let server = take(&from_shelf)?;
        let dropping = kthread::spawn(&THIS_MODULE, c"ktcp-dropping", move |_| drop(server))?;
        // Whichever of the two would close the circle does not wait.
        let ended = dropping.join();
        result.with(|slot| *slot = Some(ended));
        Ok(())
    })?;
    let (server, addr) = serve(executor, handler)?;
    let client = connect(addr)?;
    owns.with(|slot| *slot = Some(server));
    client.write_all(b"x")?;
    let _joined: Result = take(&joined)?;
    assert!(eventually(|| dropped.load(Relaxed) == 1));
    Ok(())
}

fn a_handler_that_waits_for_a_peer_does_not_hold_up_the_stop(executor: Executor) -> Result {
    let (_upstream, upstream_addr) = silent_upstream()?;
    let waiting = Arc::new(Atomic::new(0), GFP_KERNEL)?;
    let failed = shelf()?;
    let (is_waiting, result) = (waiting.clone(), failed.clone());
    let (handler, dropped) = Acting::new(move || {
        let upstream = TcpStream::connect(&namespace()?, upstream_addr)?;
        is_waiting.store(1, Relaxed);
        let read = upstream.read(&mut [0; 4]).map(|_| ());
        result.with(|slot| *slot = Some(read));
        // From now on each of its waits fails.
        let _ = upstream.read(&mut [0; 4]);
        Ok(())
    })?;
    let (server, addr) = serve(executor, handler)?;
    let (client, idle) = (connect(addr)?, connect(addr)?);
    client.write_all(b"x")?;
    assert!(eventually(|| waiting.load(Relaxed) == 1));
    fsleep(Delta::from_millis(50));

    let begin = Instant::<Monotonic>::now();
    server.shutdown(Delta::from_millis(100));
    assert!(begin.elapsed().as_millis() < 10_000);
    assert!(take(&failed)?.is_err());
    assert_eq!(dropped.load(Relaxed), 1);
    assert_eq!(idle.read(&mut [0; 4]).unwrap_or(0), 0);
    Ok(())
}

fn a_shutdown_in_a_handler_keeps_its_deadline(executor: Executor) -> Result {
    let owns: Shelf<KernelTcpServer> = shelf()?;
    let from_shelf = owns.clone();
    let (handler, dropped) = Acting::new(move || {
        if let Some(server) = from_shelf.with(Option::take) {
            server.shutdown(Delta::from_millis(100));
        }
        Ok(())
    })?;
    namespace()?;
    let server = builder(executor)
        .drain(Delta::from_secs(3600))
        .start(&THIS_MODULE, handler)?;
    let addr = server.local_addr();
    let (client, deaf) = (connect(addr)?, connect(addr)?);
    // The client does not read: the server gets no room for the echo.
    crate::probe::fill(&deaf)?;
    owns.with(|slot| *slot = Some(server));
    client.write_all(b"x")?;
    assert!(eventually(|| dropped.load(Relaxed) == 1));
    Ok(())
}

fn a_test_server_in_a_handler_is_refused(executor: Executor) -> Result {
    let conversed = shelf()?;
    let result = conversed.clone();
    let (handler, _dropped) = Acting::new(move || {
        let (inner, _) = Acting::new(|| Ok(()))?;
        let said = testing::converse(inner, b"hello").map(|_| ());
        result.with(|slot| *slot = Some(said));
        Ok(())
    })?;
    let (_server, addr) = serve(executor, handler)?;
    let client = connect(addr)?;
    exchange(&client, b"x")?;
    assert_eq!(take(&conversed)?, Err(EDEADLK));
    Ok(())
}

fn a_shutdown_takes_any_time(executor: Executor) -> Result {
    for within in [i64::MIN, -1, 0] {
        let (handler, dropped) = Acting::new(|| Ok(()))?;
        let (server, addr) = serve(executor, handler)?;
        let client = connect(addr)?;
        exchange(&client, b"x")?;
        server.shutdown(Delta::from_nanos(within));
        assert_eq!(dropped.load(Relaxed), 1);
    }
    let (handler, dropped) = Acting::new(|| Ok(()))?;
    let (server, _) = serve(executor, handler)?;
    server.shutdown(Delta::from_nanos(i64::MAX));
    assert_eq!(dropped.load(Relaxed), 1);
    Ok(())
}

suites! {
    ktcp_circles_kthread, ktcp_circles_workqueue, ktcp_circles_event_loop;
    a_handler_may_own_its_server,
    handlers_may_own_each_others_servers,
    a_handler_that_joins_what_drops_its_server_goes_on,
    a_handler_that_waits_for_a_peer_does_not_hold_up_the_stop,
    a_shutdown_in_a_handler_keeps_its_deadline,
    a_shutdown_takes_any_time,
    a_test_server_in_a_handler_is_refused,
}

/// Starts `count` threads, each of which joins the next one, and the last the first; says how many were
/// refused.
fn ring_of_threads(count: usize) -> Result<usize> {
    let refused = Arc::new(Atomic::new(0), GFP_KERNEL)?;
    let ended = Arc::new(Atomic::new(0), GFP_KERNEL)?;
    let mut shelves = KVec::new();
    for _ in 0..count {
        shelves.push(shelf::<JoinHandle<()>>()?, GFP_KERNEL)?;
    }
    for number in 0..count {
        let next = shelves[(number + 1) % count].clone();
        let (refused, ended) = (refused.clone(), ended.clone());
        let thread = kthread::spawn(&THIS_MODULE, c"ktcp-ring", move |_| {
            let joined = take(&next).and_then(JoinHandle::join);
            if joined == Err(EDEADLK) {
                refused.fetch_add(1, Relaxed);
            }
            ended.fetch_add(1, Relaxed);
        })?;
        shelves[number].with(|slot| *slot = Some(thread));
    }
    assert!(eventually(|| ended.load(Relaxed) as usize == count));
    let refused: i32 = refused.load(Relaxed);
    Ok(refused as usize)
}

fn threads_that_join_each_other_end() -> Result {
    for count in [2, 3, 7] {
        assert_eq!(ring_of_threads(count)?, 1);
    }
    Ok(())
}

fn items_that_join_each_other_end() -> Result {
    let queue = OwnedQueue::new(&THIS_MODULE, c"ktcp-ring")?;
    let (one, other) = (shelf::<Pending<bool>>()?, shelf::<Pending<bool>>()?);
    let item =
        |next: Shelf<Pending<bool>>| move || take(&next).and_then(Pending::join) == Err(EDEADLK);
    let first = queue.spawn(item(other.clone()))?;
    let second = queue.spawn(item(one.clone()))?;
    one.with(|slot| *slot = Some(first));
    other.with(|slot| *slot = Some(second));
    // It waits for both.
    drop(queue);
    Ok(())
}

fn a_thread_for_which_an_item_waits_does_not_wait_for_the_queue() -> Result {
    let queue = Arc::new(OwnedQueue::new(&THIS_MODULE, c"ktcp-flushed")?, GFP_KERNEL)?;
    let handle = shelf::<JoinHandle<Result>>()?;
    let (own, joining) = (queue.clone(), Arc::new(Atomic::new(0), GFP_KERNEL)?);
    let is_joining = joining.clone();
    let thread = kthread::spawn(&THIS_MODULE, c"ktcp-flushing", move |_| {
        eventually(|| is_joining.load(Relaxed) == 1);
        fsleep(Delta::from_millis(50));
        own.flush()
    })?;
    let from_shelf = handle.clone();
    let item = queue.spawn(move || {
        let thread = take(&from_shelf)?;
        joining.store(1, Relaxed);
        thread.join()
    })?;
    handle.with(|slot| *slot = Some(thread));
    assert_eq!(item.join()?, Ok(Err(EDEADLK)));
    Ok(())
}

fn all_items_that_a_queue_takes_run_at_once() -> Result {
    let queue = OwnedQueue::new(&THIS_MODULE, c"ktcp-many")?;
    let at_once = OwnedQueue::MAX_UNFINISHED as i32;
    let running = Arc::new(Atomic::new(0), GFP_KERNEL)?;
    let gate = Arc::new(Atomic::new(false), GFP_KERNEL)?;
    for _ in 0..at_once {
        let (running, gate) = (running.clone(), gate.clone());
        queue.spawn(move || {
            running.fetch_add(1, Relaxed);
            while !gate.load(Relaxed) {
                fsleep(Delta::from_millis(20));
            }
        })?;
    }
    let all = eventually(|| running.load(Relaxed) == at_once);
    let one_more = queue.spawn(|| ()).err();
    gate.store(true, Relaxed);
    assert!(all);
    assert_eq!(one_more, Some(EAGAIN));
    queue.flush()?;
    // The client reads: there is room again.
    queue.spawn(|| ())?.join()
}

/// The thread that plays the client is joined by the handler that is tested.
fn a_handler_does_not_join_the_task_that_tests_it() -> Result {
    let handle: Shelf<JoinHandle<Result>> = shelf()?;
    let joined = shelf()?;
    let (from_shelf, result) = (handle.clone(), joined.clone());
    let (handler, dropped) = Acting::new(move || {
        let thread = take(&from_shelf)?;
        let ended = thread.join().map(|_| ());
        result.with(|slot| *slot = Some(ended));
        Ok(())
    })?;
    let ended = shelf()?;
    let on_shelf = ended.clone();
    let thread = kthread::spawn(&THIS_MODULE, c"ktcp-client", move |_| {
        let said = testing::converse(handler, b"x").map(|_| ());
        on_shelf.with(|slot| *slot = Some((said, dropped.load(Relaxed))));
        Ok(())
    })?;
    handle.with(|slot| *slot = Some(thread));
    assert_eq!(take(&joined)?, Err(EDEADLK));
    // The server has ended when the test has.
    assert_eq!(take(&ended)?, (Ok(()), 1));
    Ok(())
}

/// Drops threads that end after a server, and the server, under a spinlock: more threads than a
/// workqueue has workers.
fn what_is_dropped_anywhere_waits_for_no_place_on_a_queue() -> Result {
    let (handler, dropped) = Acting::new(|| Ok(()))?;
    let gate = Arc::new(Atomic::new(false), GFP_KERNEL)?;
    let (server, _) = serve(Executor::Kthread, handler)?;
    let place = shelf::<()>()?;
    for _ in 0..2100 {
        let (dropped, gate) = (dropped.clone(), gate.clone());
        let thread = kthread::spawn(&THIS_MODULE, c"ktcp-waits", move |_| {
            while dropped.load(Relaxed) == 0 && !gate.load(Relaxed) {
                fsleep(Delta::from_millis(200));
            }
        })?;
        // Under a spinlock.
        place.with(|_| drop(thread));
    }
    place.with(|_| drop(server));
    let ended = eventually(|| dropped.load(Relaxed) == 1);
    gate.store(true, Relaxed);
    assert!(ended);
    assert!(eventually(|| crate::fault::tasks(c"ktcp-waits") == 0));
    Ok(())
}

/// Two locks, always taken in one order.
#[pin_data]
struct Locks {
    #[pin]
    irq: SpinLockIrq<i32>,
    #[pin]
    bh: SpinLockBh<i32>,
}

fn locks() -> Result<Arc<Locks>> {
    Arc::pin_init(
        pin_init!(Locks { irq <- new_spinlock_irq!(0), bh <- new_spinlock_bh!(0) }),
        GFP_KERNEL,
    )
}

extern "C" {
    fn ktcp_kunit_raise_softirq();
    fn ktcp_kunit_softirqs_run() -> c_uint;
}

fn a_bh_lock_may_be_taken_with_interrupts_disabled() -> Result {
    // SAFETY: Reads a number.
    let softirqs = || unsafe { ktcp_kunit_softirqs_run() };
    let locks = locks()?;
    for round in 1..=100 {
        let before = softirqs();
        let mut outer = locks.irq.lock();
        // SAFETY: May be called in any context.
        unsafe { ktcp_kunit_raise_softirq() };
        *outer += 1;
        *locks.bh.lock() += 1;
        let mut inner = locks.bh.lock();
        *inner += 1;
        drop(inner);
        let within = softirqs();
        drop(outer);
        assert_eq!(within, before);
        assert!(eventually(|| softirqs() != before));
        assert_eq!(*locks.irq.lock(), round);
        assert_eq!(*locks.bh.lock(), 2 * round);
    }
    Ok(())
}

/// As above, while packets come, and with the outer lock given back first.
fn bh_locks_and_interrupts_go_together_while_packets_come() -> Result {
    let locks = locks()?;
    let (client, server) = {
        let listener = TcpListener::bind(&namespace()?, any_port())?;
        (connect(listener.local_addr()?)?, listener.accept()?.0)
    };
    for round in 1..=1000 {
        client.write_all(b"x")?;
        let mut outer = locks.irq.lock();
        *outer += 1;
        *locks.bh.lock() += 1;
        let mut inner = locks.bh.lock();
        drop(outer);
        *inner += 1;
        drop(inner);
        server.read_exact(&mut [0])?;
        assert_eq!(*locks.irq.lock(), round);
        assert_eq!(*locks.bh.lock(), 2 * round);
    }
    Ok(())
}

#[kunit_tests(ktcp_circles)]
mod once {
    use super::*;

    #[test]
    fn threads_that_join_each_other_end() -> Result {
        super::threads_that_join_each_other_end()
    }

    #[test]
    fn items_that_join_each_other_end() -> Result {
        super::items_that_join_each_other_end()
    }

    #[test]
    fn a_thread_for_which_an_item_waits_does_not_wait_for_the_queue() -> Result {
        super::a_thread_for_which_an_item_waits_does_not_wait_for_the_queue()
    }

    #[test]
    fn a_handler_does_not_join_the_task_that_tests_it() -> Result {
        super::a_handler_does_not_join_the_task_that_tests_it()
    }

    #[test]
    fn a_bh_lock_may_be_taken_with_interrupts_disabled() -> Result {
        super::a_bh_lock_may_be_taken_with_interrupts_disabled()
    }

    #[test]
    fn bh_locks_and_interrupts_go_together_while_packets_come() -> Result {
        super::bh_locks_and_interrupts_go_together_while_packets_come()
    }
}

// A thousand tasks at once take a minute where KASAN checks each access.
#[kunit_tests(ktcp_many_items)]
mod many {
    use super::*;

    #[test]
    fn all_items_that_a_queue_takes_run_at_once() -> Result {
        super::all_items_that_a_queue_takes_run_at_once()
    }

    #[test]
    fn what_is_dropped_anywhere_waits_for_no_place_on_a_queue() -> Result {
        super::what_is_dropped_anywhere_waits_for_no_place_on_a_queue()
    }
}
