// SPDX-License-Identifier: GPL-2.0

//! Threads, queues and servers that a module leaves behind end with it.
//!
//! Built-in code has no module and is never unloaded; the suites pretend that it is.

use kernel::prelude::*;

#[kunit_tests(ktcp_registry)]
mod tests {
    use super::*;
    use crate::{
        fault,
        module_going,
        probe::{
            builder,
            eventually,
            start, //
        },
        support::{
            connect,
            exchange, //
        },
        THIS_MODULE, //
    };
    use core::mem::forget;
    use kernel::{
        sync::{
            atomic::{
                Atomic,
                Relaxed, //
            },
            Arc, //
        },
        time::{
            delay::fsleep,
            Delta, //
        }, //
    };
    use ktcp_server::{
        kthread,
        workqueue::OwnedQueue,
        Executor, //
    };

    const NAME: &CStr = c"ktcp-leaked";

    #[test]
    fn nothing_left_is_nothing_to_do() {
        module_going();
        module_going();
    }

    #[test]
    fn leaked_threads_are_stopped() -> Result {
        let stopped = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        for _ in 0..5 {
            let stopped = stopped.clone();
            forget(kthread::spawn(&THIS_MODULE, NAME, move |stop| {
                while !stop.wait(Delta::from_secs(60)) {}
                fsleep(Delta::from_millis(20));
                stopped.fetch_add(1, Relaxed);
            })?);
        }
        // A thread that has ended already, and a detached one.
        let ended = kthread::spawn(&THIS_MODULE, NAME, |_| ())?;
        assert!(eventually(|| ended.is_finished()));
        forget(ended);
        kthread::spawn(&THIS_MODULE, NAME, {
            let stopped = stopped.clone();
            move |stop| {
                while !stop.wait(Delta::from_secs(60)) {}
                stopped.fetch_add(1, Relaxed);
            }
        })?
        .detach();

        module_going();
        assert_eq!(stopped.load(Relaxed), 6);
        assert_eq!(fault::tasks(NAME), 0);
        Ok(())
    }

    #[test]
    fn what_waits_for_each_other_ends() -> Result {
        // A thread waits for another thread, which owns a server, which an item of a queue uses.
        let (server, record, addr) = start(builder(Executor::EventLoop))?;
        let client = connect(addr)?;
        exchange(&client, b"hello")?;
        let queue = Arc::new(OwnedQueue::new(&THIS_MODULE, NAME)?, GFP_KERNEL)?;
        let inner = kthread::spawn(&THIS_MODULE, NAME, {
            let queue = queue.clone();
            move |stop| {
                while !stop.wait(Delta::from_millis(1)) {
                    let _ = queue.spawn(|| fsleep(Delta::from_millis(1)));
                }
                drop(server);
            }
        })?;
        forget(kthread::spawn(&THIS_MODULE, NAME, move |_| inner.join())?);
        forget(queue);

        module_going();
        assert_eq!(fault::tasks(NAME), 0);
        assert_eq!(fault::tasks(c"probe/"), 0);
        assert_eq!(record.handlers_dropped.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn leaked_servers_are_stopped() -> Result {
        for executor in [Executor::Kthread, Executor::Workqueue, Executor::EventLoop] {
            let (server, record, addr) = start(builder(executor))?;
            let client = connect(addr)?;
            exchange(&client, b"hello")?;
            forget(server);
            module_going();
            assert_eq!(record.handlers_dropped.load(Relaxed), 1);
            assert_eq!(fault::tasks(c"probe/"), 0);
        }
        Ok(())
    }
}
