// SPDX-License-Identifier: GPL-2.0

//! Queues as a module uses them.

use kernel::prelude::*;

#[kunit_tests(ktcp_workqueue)]
mod tests {
    use super::*;
    use crate::{
        fault,
        probe::eventually,
        THIS_MODULE, //
    };
    use kernel::{
        impl_has_work,
        new_mutex,
        new_work,
        sync::{
            atomic::{
                Atomic,
                Full,
                Relaxed, //
            },
            Arc,
            Mutex, //
        },
        time::{
            delay::fsleep,
            Delta, //
        },
        workqueue::{
            Work,
            WorkItem, //
        }, //
    };
    use ktcp_server::workqueue::{
        OwnedQueue,
        Pending, //
    };

    fn queue() -> Result<OwnedQueue> {
        OwnedQueue::new(&THIS_MODULE, c"ktcp-queue")
    }

    fn counter() -> Result<Arc<Atomic<i32>>> {
        Ok(Arc::new(Atomic::new(0), GFP_KERNEL)?)
    }

    #[test]
    fn results_are_joined_out() -> Result {
        let queue = queue()?;
        let mut sums = KVec::new();
        for number in 0..50u32 {
            sums.push((number, queue.spawn(move || number * 2)?), GFP_KERNEL)?;
        }
        for (number, sum) in sums {
            assert_eq!(sum.join()?, number * 2);
        }
        Ok(())
    }

    #[test]
    fn dropping_waits_for_every_item() -> Result {
        let (queue, done) = (queue()?, counter()?);
        for _ in 0..20 {
            let done = done.clone();
            queue.spawn(move || {
                fsleep(Delta::from_millis(20));
                done.fetch_add(1, Relaxed);
            })?;
        }
        drop(queue);
        assert_eq!(done.load(Relaxed), 20);
        Ok(())
    }

    #[test]
    fn flushing_waits_for_every_item() -> Result {
        let (queue, done) = (queue()?, counter()?);
        for round in 1..=3 {
            let item = done.clone();
            let pending = queue.spawn(move || {
                fsleep(Delta::from_millis(20));
                item.fetch_add(1, Relaxed);
            })?;
            queue.flush()?;
            assert_eq!(done.load(Relaxed), round);
            assert!(pending.is_finished());
        }
        Ok(())
    }

    #[test]
    fn no_item_waits_for_itself() -> Result {
        let queue = Arc::new(queue()?, GFP_KERNEL)?;
        let own = queue.clone();
        assert_eq!(queue.spawn(move || own.flush())?.join()?, Err(EDEADLK));

        #[pin_data]
        struct Shelf {
            #[pin]
            pending: Mutex<Option<Pending<bool>>>,
        }
        let shelf = Arc::pin_init(pin_init!(Shelf { pending <- new_mutex!(None) }), GFP_KERNEL)?;
        let refused = counter()?;
        let pending = queue.spawn({
            let (shelf, refused) = (shelf.clone(), refused.clone());
            move || loop {
                let own = shelf.pending.lock().take();
                if let Some(own) = own {
                    refused.store((own.join() == Err(EDEADLK)).into(), Relaxed);
                    return true;
                }
                fsleep(Delta::from_millis(1));
            }
        })?;
        *shelf.pending.lock() = Some(pending);
        queue.flush()?;
        assert_eq!(refused.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn an_item_may_drop_its_queue() -> Result {
        let done = counter()?;
        let queue = Arc::new(queue()?, GFP_KERNEL)?;
        queue.spawn({
            let (queue, done) = (queue.clone(), done.clone());
            move || {
                fsleep(Delta::from_millis(50));
                // The last one: the queue does not wait for this item.
                drop(queue);
                done.fetch_add(1, Relaxed);
            }
        })?;
        queue.spawn({
            let done = done.clone();
            move || {
                fsleep(Delta::from_millis(100));
                done.fetch_add(1, Relaxed);
            }
        })?;
        drop(queue);
        assert!(eventually(|| done.load(Relaxed) == 2));
        Ok(())
    }

    /// An item that queues itself for ever, as far as its queue lets it.
    #[pin_data]
    struct Tireless {
        queue: Arc<OwnedQueue>,
        runs: Arc<Atomic<i32>>,
        refused: Arc<Atomic<i32>>,
        #[pin]
        work: Work<Tireless>,
    }

    impl_has_work! {
        impl HasWork<Self> for Tireless { self.work }
    }

    impl Tireless {
        fn new(
            queue: Arc<OwnedQueue>,
            runs: Arc<Atomic<i32>>,
            refused: Arc<Atomic<i32>>,
        ) -> Result<Arc<Self>> {
            Arc::pin_init(
                pin_init!(Self {
                    queue,
                    runs,
                    refused,
                    work <- new_work!("Tireless::work"),
                }),
                GFP_KERNEL,
            )
        }
    }

    impl WorkItem for Tireless {
        type Pointer = Arc<Self>;

        fn run(this: Arc<Self>) {
            this.runs.fetch_add(1, Relaxed);
            fsleep(Delta::from_micros(100));
            if this.queue.enqueue(this.clone()).is_err() {
                this.refused.fetch_add(1, Full);
            }
        }
    }

    #[test]
    fn items_of_ones_own_run_again_and_again() -> Result {
        let (runs, refused) = (counter()?, counter()?);
        let queue = Arc::new(queue()?, GFP_KERNEL)?;
        let item = Tireless::new(queue.clone(), runs.clone(), refused.clone())?;
        assert!(matches!(queue.enqueue(item), Ok(Ok(()))));
        assert!(eventually(|| runs.load(Relaxed) > 20));
        // The item owns its queue: only the end of the module ends it.
        drop(queue);
        assert_eq!(refused.load(Relaxed), 0);
        crate::module_going();
        assert_eq!(refused.load(Relaxed), 1);
        let last = runs.load(Relaxed);
        fsleep(Delta::from_millis(20));
        assert_eq!(runs.load(Relaxed), last);
        Ok(())
    }

    #[test]
    fn a_leaked_queue_is_drained_with_its_module() -> Result {
        let done = counter()?;
        // An item of one queue uses the other queue.
        let (one, other) = (queue()?, Arc::new(queue()?, GFP_KERNEL)?);
        for _ in 0..10 {
            let (other, done) = (other.clone(), done.clone());
            one.spawn(move || {
                fsleep(Delta::from_millis(20));
                let counted = done.clone();
                let spawned = other.spawn(move || {
                    fsleep(Delta::from_millis(20));
                    counted.fetch_add(1, Relaxed);
                });
                if spawned.is_err() {
                    done.fetch_add(1, Relaxed);
                }
            })?;
        }
        core::mem::forget(one);
        core::mem::forget(other);
        crate::module_going();
        assert_eq!(done.load(Relaxed), 10);
        Ok(())
    }

    #[test]
    fn each_failure_leaves_nothing() -> Result {
        fault::setup()?;
        for nth in 1..100 {
            let (runs, token) = (counter()?, counter()?);
            let captured = (runs.clone(), token.clone());
            fault::arm_current(nth);
            let result = queue().and_then(|queue| {
                let run = move || {
                    let (runs, _token) = captured;
                    runs.fetch_add(1, Relaxed)
                };
                queue.spawn(run)?.join()
            });
            let failed = fault::disarm();
            match result {
                Ok(_) if !failed => {
                    assert!(nth > 5);
                    return Ok(());
                }
                Ok(_) => assert_eq!(runs.load(Relaxed), 1),
                Err(error) => {
                    assert!(failed);
                    assert_eq!(error, ENOMEM);
                    assert_eq!(runs.load(Relaxed), 0);
                }
            }
            // The data of the closure was dropped.
            assert!(Arc::into_unique_or_drop(token).is_some());
        }
        Err(E2BIG)
    }
}
