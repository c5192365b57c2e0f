// SPDX-License-Identifier: GPL-2.0

//! Threads as a module uses them.

use kernel::prelude::*;

#[kunit_tests(ktcp_kthread)]
mod tests {
    use super::*;
    use crate::{
        fault,
        probe::eventually,
        support::{
            any_port,
            connect,
            namespace, //
        },
        THIS_MODULE, //
    };
    use kernel::{
        new_mutex,
        sync::{
            aref::ARef,
            atomic::{
                Atomic,
                Relaxed, //
            },
            Arc,
            Mutex, //
        },
        task::Task,
        time::{
            delay::fsleep,
            Delta,
            Instant,
            Monotonic, //
        }, //
    };
    use ktcp_server::{
        kthread::{
            self,
            JoinHandle,
            Stop, //
        },
        net::TcpListener, //
    };

    const NAME: &CStr = c"ktcp-thread";

    fn spawn<T: Send + 'static>(
        function: impl FnOnce(&Stop) -> T + Send + 'static,
    ) -> Result<JoinHandle<T>> {
        kthread::spawn(&THIS_MODULE, NAME, function)
    }

    /// Returns true once no thread is left.
    fn are_gone() -> bool {
        eventually(|| fault::tasks(NAME) == 0)
    }

    /// Counts how often a value of it was dropped.
    struct Counter(Arc<Atomic<i32>>);

    impl Drop for Counter {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    /// A place for a handle that several tasks share.
    #[pin_data]
    struct Shelf<T> {
        #[pin]
        handle: Mutex<Option<JoinHandle<T>>>,
    }

    fn shelf<T: Send + 'static>() -> Result<Arc<Shelf<T>>> {
        Arc::pin_init(pin_init!(Shelf { handle <- new_mutex!(None) }), GFP_KERNEL)
    }

    /// In which state a thread sleeps that does nothing but this; it is gone afterwards.
    fn state_in(sleep: fn(&Stop)) -> Result<u32> {
        let running = Arc::new(Atomic::new(0usize), GFP_KERNEL)?;
        let task = running.clone();
        let thread = spawn(move |stop| {
            task.store(Task::current_raw().addr(), Relaxed);
            sleep(stop);
        })?;
        let mut state = 0;
        assert!(eventually(|| {
            let task = running.load(Relaxed) as *const kernel::bindings::task_struct;
            if !task.is_null() {
                // SAFETY: The thread is not joined yet, so its task is there.
                state = unsafe { (&raw const (*task).__state).read_volatile() };
            }
            state != 0
        }));
        thread.stop()?;
        Ok(state)
    }

    #[test]
    fn a_thread_that_waits_is_idle() -> Result {
        for sleep in [
            |stop: &Stop| assert!(stop.wait(Delta::from_secs(3600))),
            |stop: &Stop| while !stop.wait(Delta::from_secs(1)) {},
        ] {
            let state = state_in(sleep)?;
            assert_eq!(
                state & kernel::bindings::TASK_IDLE,
                kernel::bindings::TASK_IDLE
            );
        }
        Ok(())
    }

    #[test]
    fn the_result_is_joined_out() -> Result {
        let text = KBox::new([7u8; 32], GFP_KERNEL)?;
        let thread = spawn(move |stop| (text, stop.is_requested()))?;
        let (text, stopped) = thread.join()?;
        assert_eq!(text[31], 7);
        assert!(!stopped);
        Ok(())
    }

    #[test]
    fn one_that_waits_stops_at_once() -> Result {
        let begin = Instant::<Monotonic>::now();
        let thread = spawn(|stop| stop.wait(Delta::from_secs(60)))?;
        assert!(!thread.is_finished());
        assert!(thread.stop()?);
        let thread = spawn(|stop| stop.wait(Delta::from_millis(20)))?;
        assert!(!thread.join()?);
        assert!(begin.elapsed().as_millis() < 10_000);
        Ok(())
    }

    #[test]
    fn one_that_is_blocked_stops_too() -> Result {
        let listener = TcpListener::bind(&namespace()?, any_port())?;
        let addr = listener.local_addr()?;
        let accepting = spawn(move |stop| {
            let (peer, _) = listener.accept()?;
            // No connection comes: without a stop this would wait for ever.
            let read = peer.read(&mut [0; 4]);
            Ok::<_, Error>((read, stop.is_requested()))
        })?;
        let _client = connect(addr)?;
        fsleep(Delta::from_millis(50));
        assert!(!accepting.is_finished());
        let (read, asked) = accepting.stop()??;
        assert!(asked);
        assert!(matches!(read, Err(ERESTARTSYS | EINTR)));

        let listener = TcpListener::bind(&namespace()?, any_port())?;
        let accepting = spawn(move |_| listener.accept().err())?;
        let error = accepting.stop()?;
        assert!(matches!(error, Some(ERESTARTSYS | EINTR)));
        Ok(())
    }

    #[test]
    fn dropping_stops_and_joins() -> Result {
        let ended = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let thread = spawn({
            let ended = ended.clone();
            move |stop| {
                while !stop.wait(Delta::from_secs(60)) {}
                fsleep(Delta::from_millis(20));
                ended.store(1, Relaxed);
            }
        })?;
        drop(thread);
        assert_eq!(ended.load(Relaxed), 1);
        assert_eq!(fault::tasks(NAME), 0);
        Ok(())
    }

    #[test]
    fn one_that_is_dropped_at_once_runs_all_the_same() -> Result {
        let drops = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let runs = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        for _ in 0..100 {
            let captured = Counter(drops.clone());
            let runs = runs.clone();
            drop(spawn(move |_| {
                runs.fetch_add(1, Relaxed);
                captured
            })?);
        }
        assert_eq!(runs.load(Relaxed), 100);
        assert_eq!(drops.load(Relaxed), 100);
        Ok(())
    }

    #[test]
    fn nobody_keeps_one_that_is_joined() -> Result {
        let task = spawn(|_| ARef::<Task>::from(&**current!()))?.join()?;
        let references = || {
            // SAFETY: The task is valid, for we have a reference; the count is read whole.
            unsafe { (&raw const (*task.as_ptr()).usage.refs.counter).read_volatile() }
        };
        // Ours. The scheduler lets go of it after a grace period.
        assert!(eventually(|| references() == 1));
        Ok(())
    }

    #[test]
    fn nobody_waits_for_his_own_end() -> Result {
        let shelf = shelf()?;
        let joined = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let thread = spawn({
            let (shelf, joined) = (shelf.clone(), joined.clone());
            move |stop| {
                while joined.load(Relaxed) == 0 {
                    let own: Option<JoinHandle<()>> = shelf.handle.lock().take();
                    if let Some(own) = own {
                        let refused = own.join() == Err(EDEADLK);
                        // The refused `join` dropped the handle, which asks the thread to stop.
                        joined.store(if refused && stop.is_requested() { 1 } else { 2 }, Relaxed);
                    }
                    fsleep(Delta::from_millis(1));
                }
            }
        })?;
        *shelf.handle.lock() = Some(thread);
        assert!(eventually(|| joined.load(Relaxed) == 1));
        // The thread that took the handle has joined it.
        assert!(are_gone());
        Ok(())
    }

    #[test]
    fn a_detached_one_ends_by_itself() -> Result {
        let drops = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        for millis in [0, 20] {
            let counter = Counter(drops.clone());
            let thread = spawn(move |stop| {
                let stopped = stop.wait(Delta::from_millis(millis));
                (stopped, counter)
            })?;
            if millis == 0 {
                assert!(eventually(|| thread.is_finished()));
            }
            thread.detach();
        }
        assert!(eventually(|| drops.load(Relaxed) == 2));
        assert!(are_gone());
        Ok(())
    }

    /// Fails one allocation after the other, of the caller and of the task that makes threads.
    fn walk(arm: impl Fn(u32)) -> Result<u32> {
        fault::setup()?;
        for nth in 1..100 {
            let drops = Arc::new(Atomic::new(0), GFP_KERNEL)?;
            let runs = Arc::new(Atomic::new(0), GFP_KERNEL)?;
            let captured = (Counter(drops.clone()), runs.clone());
            arm(nth);
            let spawned = spawn(move |_| {
                captured.1.store(1, Relaxed);
                captured.0
            });
            let failed = fault::disarm();
            match spawned {
                Ok(thread) => {
                    drop(thread.join()?);
                    assert_eq!(runs.load(Relaxed), 1);
                    if !failed {
                        return Ok(nth - 1);
                    }
                }
                Err(error) => {
                    assert!(failed);
                    assert!([ENOMEM, EAGAIN].contains(&error));
                    assert_eq!(runs.load(Relaxed), 0);
                }
            }
            assert_eq!(drops.load(Relaxed), 1);
            assert_eq!(fault::tasks(NAME), 0);
        }
        Err(E2BIG)
    }

    #[test]
    fn each_failure_leaves_nothing() -> Result {
        assert!(walk(fault::arm_current)? >= 4);
        assert!(walk(fault::arm_thread_maker)? >= 1);
        Ok(())
    }
}
