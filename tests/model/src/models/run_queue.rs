// SPDX-License-Identifier: GPL-2.0

//! The run queue: no item is lost, the order of each producer is kept, and the executor wakes.

use super::{
    explore,
    join, //
};
use crate::{
    sync::parker::Parker,
    sync::run_queue::{
        Link,
        Queued,
        RunQueue, //
    }, //
};
use kernel::sync::Arc;
use loom::{
    cell::UnsafeCell,
    thread, //
};

/// An item that is due.
struct Item {
    link: Link<Item>,
    number: usize,
    /// Written before the item is pushed, and by the executor.
    polls: UnsafeCell<usize>,
}

// SAFETY: loom checks the accesses to `polls`.
unsafe impl Sync for Item {}

// SAFETY: Each item has a link, and the models push it only while it is in no queue.
unsafe impl Queued for Item {
    fn link(&self) -> &Link<Self> {
        &self.link
    }
}

impl Item {
    fn new(number: usize) -> Arc<Self> {
        let item = Arc::new(Self {
            link: Link::new(),
            number,
            polls: UnsafeCell::new(0),
        });
        item.poll();
        item
    }

    /// Accesses the data of the item's owner. Returns the number of earlier accesses.
    fn poll(&self) -> usize {
        self.polls.with_mut(|polls| {
            // SAFETY: The item is in no queue.
            let polls = unsafe { &mut *polls };
            *polls += 1;
            *polls - 1
        })
    }
}

/// Takes all items, and returns their numbers.
fn take(queue: &RunQueue<Item>) -> Vec<usize> {
    let numbers = queue.take_all().map(|item| {
        assert_eq!(item.poll(), 1);
        item.number
    });
    numbers.collect()
}

/// Checks that no number is missing, and that the numbers of each producer are in order: one pushes
/// those from 10 on, the other those below.
fn assert_complete_and_in_order(mut found: Vec<usize>) {
    for producer in [0, 1] {
        let numbers = found.iter().filter(|&&number| number / 10 == producer);
        assert!(numbers.is_sorted(), "not in order: {found:?}");
    }
    found.sort_unstable();
    assert_eq!(found, [0, 1, 10, 11]);
}

#[test]
fn nothing_is_lost_and_the_order_is_kept() {
    explore(3, || {
        let queue = Arc::new(RunQueue::new());
        let producers = [0, 10].map(|first| {
            let queue = queue.clone();
            thread::spawn(move || {
                queue.push(Item::new(first));
                queue.push(Item::new(first + 1));
            })
        });
        let mut found = take(&queue);
        found.extend(take(&queue));
        join(producers);
        found.extend(take(&queue));
        assert!(queue.is_empty());
        assert_complete_and_in_order(found);
    });
}

#[test]
fn an_item_can_be_pushed_again() {
    explore(3, || {
        let queue = Arc::new(RunQueue::new());
        queue.push(Item::new(0));
        let other = queue.clone();
        let producer = thread::spawn(move || {
            other.push(Item::new(1));
        });
        for item in queue.take_all() {
            queue.push(item);
        }
        producer.join().unwrap();
        let mut found: Vec<usize> = queue.take_all().map(|item| item.number).collect();
        found.sort_unstable();
        assert_eq!(found, [0, 1]);
    });
}

#[test]
fn what_is_left_is_freed() {
    explore(3, || {
        let queue = Arc::new(RunQueue::new());
        let producers = [0, 10].map(|number| {
            let queue = queue.clone();
            thread::spawn(move || {
                queue.push(Item::new(number));
            })
        });
        let mut batch = queue.take_all();
        drop(batch.next());
        drop(batch);
        join(producers);
    });
}

/// Models an event loop: the producer that pushes to an empty queue wakes the executor.
#[test]
fn an_executor_wakes_for_what_is_pushed() {
    explore(2, || {
        let shared = Arc::new((RunQueue::new(), Parker::new()));
        let producers = [0, 10].map(|number| {
            let shared = shared.clone();
            thread::spawn(move || {
                let (queue, parker) = &*shared;
                if queue.push(Item::new(number)) {
                    parker.unpark();
                }
            })
        });
        let (queue, parker) = &*shared;
        let mut found = take(queue);
        while found.len() < 2 {
            parker.park_until(|| !queue.is_empty());
            found.extend(take(queue));
        }
        join(producers);
    });
}
