// SPDX-License-Identifier: GPL-2.0

//! The executor with a loop for each CPU: a thread, and softirq context if the handler allows that.
//!
//! If data arrives for one item at a time, the item is polled on the CPU that has received it:
//! waking another CPU takes longer than the poll. If the handler does not sleep, or tries without,
//! the poll is part of the softirq that has received the bytes, and no task is woken. If items
//! become due one after the other on a CPU, other CPUs poll them in batches, while this one goes on
//! receiving.
//!
//! Isolated CPUs have no loop. An item whose data arrives on one of them is given to the thread of
//! another CPU.

mod cpu_loop;

use self::cpu_loop::Poller;
use super::Pollable;
use crate::{
    stats::Counters,
    sync::softirq::Pollers,
    util::cpu, //
};
use kernel::{
    cpu::{
        nr_cpu_ids,
        CpuId, //
    },
    prelude::*,
    sync::Arc, //
};

/// Returns the CPUs that get a loop: those present, online or not, that are not isolated; all
/// present ones if each is isolated. May sleep.
fn cpus() -> Result<KVec<u32>> {
    let mut present = KVec::new();
    let mut housekeeping = KVec::new();
    for cpu in (0..nr_cpu_ids()).filter(|&cpu| cpu::is_present(cpu)) {
        present.push(cpu, GFP_KERNEL)?;
        if cpu::is_housekeeping(cpu) {
            housekeeping.push(cpu, GFP_KERNEL)?;
        }
    }
    Ok(if housekeeping.is_empty() {
        present
    } else {
        housekeeping
    })
}

/// Entry of [`Loops::by_cpu`] for a CPU without a loop.
const NONE: usize = usize::MAX;

/// Returns for each of the `possible` CPUs its index in `cpus`, or [`NONE`]. Fails with `EINVAL` if
/// `cpus` has another one. May sleep.
fn indices(cpus: &[u32], possible: u32) -> Result<KVec<usize>> {
    let mut by_cpu = KVec::from_elem(NONE, possible as usize, GFP_KERNEL)?;
    for (index, &cpu) in cpus.iter().enumerate() {
        *by_cpu.get_mut(cpu as usize).ok_or(EINVAL)? = index;
    }
    Ok(by_cpu)
}

/// The loops of a server, each with a thread.
pub(crate) struct Loops<T: Pollable> {
    pollers: Pollers<Poller<T>>,
    /// For each possible CPU the index of its loop, or [`NONE`].
    by_cpu: KVec<usize>,
}

impl<T: Pollable> Loops<T> {
    /// Starts a loop for each housekeeping CPU. May sleep.
    pub(super) fn start(server: &CStr, counters: &Arc<Counters>, atomic: bool) -> Result<Self> {
        Self::start_for(&cpus()?, server, counters, atomic)
    }

    /// Starts a loop for each of `cpus`; fails with `ENODEV` if there are none. May sleep.
    ///
    /// A CPU that is offline, now or later, has a loop as well: its thread runs elsewhere until the
    /// CPU is online.
    fn start_for(
        cpus: &[u32],
        server: &CStr,
        counters: &Arc<Counters>,
        atomic: bool,
    ) -> Result<Self> {
        if cpus.is_empty() {
            return Err(ENODEV);
        }
        let by_cpu = indices(cpus, nr_cpu_ids())?;
        // Dropping the pollers joins the threads that are already started.
        let mut pollers = KVec::with_capacity(cpus.len(), GFP_KERNEL)?;
        for &cpu in cpus {
            let poller = Poller::new(counters.clone())?;
            poller.thread.start(cpu, server, atomic)?;
            pollers.push(poller, GFP_KERNEL)?;
        }
        Ok(Self {
            pollers: Pollers::new(pollers)?,
            by_cpu,
        })
    }

    /// Returns the loop that serves a number, and its index. Every number has one.
    #[inline]
    fn for_number(&self, number: usize) -> Option<(usize, &Poller<T>)> {
        let pollers = self.pollers.items();
        // `checked_rem` and `get`, because a panic in softirq context takes down the machine.
        let index = (number as u32).checked_rem(pollers.len() as u32)? as usize;
        Some((index, pollers.get(index)?))
    }

    /// Returns the loop of a CPU, and its index. An isolated CPU has none, nor has a CPU that was
    /// plugged in after the start.
    #[inline]
    fn for_cpu(&self, cpu: u32) -> Option<(usize, &Poller<T>)> {
        let index = *self.by_cpu.get(cpu as usize)?;
        Some((index, self.pollers.items().get(index)?))
    }

    /// Returns the loop of this CPU, and its index.
    #[inline]
    fn local(&self) -> Option<(usize, &Poller<T>)> {
        self.for_cpu(CpuId::current().as_u32())
    }

    /// Has an item polled by the thread of another CPU, because this CPU has no loop. Any context.
    #[cold]
    fn delegate(&self, item: Arc<T>) {
        if let Some((_, chosen)) = self.for_number(item.number()) {
            chosen.thread.enqueue(item);
        }
    }

    /// Schedules an item whose stream has just become ready on this CPU. With softirqs disabled.
    pub(super) fn ready(&self, item: Arc<T>) {
        let Some((here, local)) = self.local() else {
            return self.delegate(item);
        };
        if !local.thread.note_arrival(&item) {
            let thread = match self.for_number(item.number()) {
                Some((there, chosen)) if there != here && !chosen.thread.has_arrivals() => {
                    &chosen.thread
                }
                // The chosen CPU is this one, or is busy with its own arrivals.
                _ => &local.thread,
            };
            thread.enqueue(item);
        } else if !item.can_poll_bh() {
            local.thread.enqueue(item);
        } else if local.due.push(item) {
            self.pollers.schedule(here);
        }
    }

    /// Schedules an item on the thread of this CPU. Any context.
    pub(super) fn schedule(&self, item: Arc<T>) {
        match self.local() {
            Some((_, local)) => local.thread.enqueue(item),
            None => self.delegate(item),
        }
    }

    /// Lets the threads run on any CPU, because the server is about to stop. A CPU that receives
    /// without pause, from clients that keep connecting, would leave a thread bound to it no time
    /// to close connections. May sleep.
    pub(super) fn unbind(&self) {
        for poller in self.pollers.items() {
            poller.thread.unbind();
        }
    }

    /// Ends the threads and waits for them. Sleeps.
    pub(super) fn stop(&self) {
        self.pollers.stop();
        for poller in self.pollers.items() {
            // SAFETY: `stop` above has stopped the pollers, and only one task stops a server.
            unsafe { poller.clear() };
            poller.thread.request_stop();
        }
        for poller in self.pollers.items() {
            poller.thread.join();
        }
    }
}

impl<T: Pollable> Drop for Loops<T> {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(CONFIG_KTCP_KUNIT_TEST)]
#[kunit_tests(ktcp_loops)]
mod tests {
    use super::*;
    use crate::{
        executor::{
            PollResult,
            Scratch, //
        },
        module::kthread,
        stats::StatsBatch,
        sync::{
            deadlock::ServerId,
            parker::Parker,
            run_queue::{
                Link,
                Queued, //
            },
            softirq::BhToken, //
        }, //
    };
    use kernel::{
        impl_has_work,
        workqueue::{
            Work,
            WorkItem, //
        }, //
    };

    /// An item that is never due.
    #[pin_data]
    struct Never {
        parker: Parker,
        link: Link<Never>,
        #[pin]
        work: Work<Never>,
    }

    // SAFETY: It is pushed to no queue.
    unsafe impl Queued for Never {
        fn link(&self) -> &Link<Self> {
            &self.link
        }
    }

    impl_has_work! {
        impl HasWork<Self> for Never { self.work }
    }

    impl WorkItem for Never {
        type Pointer = Arc<Self>;

        fn run(_: Arc<Self>) {}
    }

    impl Scratch for StatsBatch {
        fn stats(&mut self) -> &mut StatsBatch {
            self
        }
    }

    impl Pollable for Never {
        type Scratch = StatsBatch;

        fn number(&self) -> usize {
            0
        }

        fn can_poll_bh(&self) -> bool {
            false
        }

        fn is_queued(&self) -> bool {
            false
        }

        fn parker(&self) -> &Parker {
            &self.parker
        }

        fn poll(self: &Arc<Self>, _: &mut StatsBatch) -> PollResult {
            PollResult::Closed
        }

        fn poll_bh(self: &Arc<Self>, _: BhToken<'_>, _: &mut StatsBatch) -> PollResult {
            PollResult::Closed
        }
    }

    type Loops = super::Loops<Never>;

    fn counters() -> Result<Arc<Counters>> {
        Ok(Arc::new(Counters::new()?, GFP_KERNEL)?)
    }

    #[test]
    fn each_cpu_of_the_machine_has_a_loop_of_its_own() -> Result {
        let loops = Loops::start(c"loops", &counters()?, false)?;
        let cpus = cpus()?;
        assert!(!cpus.is_empty());
        assert_eq!(loops.pollers.items().len(), cpus.len());
        for (index, &cpu) in cpus.iter().enumerate() {
            assert_eq!(loops.for_cpu(cpu).map(|(index, _)| index), Some(index));
        }
        Ok(())
    }

    #[test]
    fn a_cpu_without_a_loop_has_none_of_another_cpu() -> Result {
        assert_eq!(&indices(&[1, 3], 5)?[..], &[NONE, 0, NONE, 1, NONE]);
        assert_eq!(indices(&[0, 5], 5).err(), Some(EINVAL));

        let last = nr_cpu_ids() - 1;
        let loops = Loops::start_for(&[last], c"loops", &counters()?, true)?;
        assert_eq!(loops.for_cpu(last).map(|(index, _)| index), Some(0));
        assert!((0..last).all(|cpu| loops.for_cpu(cpu).is_none()));
        assert!(loops.for_cpu(last + 1).is_none());
        // Every connection has a loop nonetheless.
        assert!((0..10).all(|number| loops.for_number(number).is_some()));
        Ok(())
    }

    #[test]
    fn a_thread_runs_on_the_cpu_that_it_prefers() -> Result {
        let counters = counters()?;
        let server = ServerId::of(&*counters);
        for _ in 0..20 {
            for cpu in cpus()? {
                let here = || CpuId::current().as_u32();
                let thread = kthread::spawn_preferring(server, cpu, c"loops", here)?;
                assert_eq!(thread.join()?, cpu);
            }
        }
        Ok(())
    }

    #[test]
    fn without_a_cpu_there_is_no_loop() -> Result {
        let loops = Loops::start_for(&[], c"loops", &counters()?, false);
        assert_eq!(loops.err(), Some(ENODEV));
        Ok(())
    }
}
