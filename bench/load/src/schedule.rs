// SPDX-License-Identifier: GPL-2.0

//! The times at which the messages of an open loop are due.

/// Nanoseconds of a second
const SECOND: f64 = 1e9;

/// One thread's share of the messages: every so-many-th of a sequence at equal distances.
///
/// Message `k` is due at `start + k / rate`; those of the warm-up have negative numbers. Each time is
/// computed from its number, so that errors do not add up.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// When counting begins.
    start: u64,
    /// Nanoseconds from a message to the next one.
    interval: f64,
    /// The number of the next message that was not taken, and the end of the numbers.
    next: i64,
    end: i64,
    /// From one of the thread's messages to its next one.
    step: i64,
}

impl Schedule {
    /// The share of thread `index` of `threads`: `rate` messages a second, of which `count` follow a
    /// warm-up of `warm_up` nanoseconds that ends at `start`.
    pub fn new(
        rate: f64,
        start: u64,
        warm_up: u64,
        count: u64,
        index: usize,
        threads: usize,
    ) -> Self {
        let interval = SECOND / rate;
        let step = threads as i64;
        let first = -((warm_up.min(start) as f64 / interval) as i64);
        Self {
            start,
            interval,
            next: first + (index as i64 - first).rem_euclid(step),
            end: i64::try_from(count).unwrap_or(i64::MAX),
            step,
        }
    }

    /// How many messages are due in so many nanoseconds from `start` on.
    pub fn count_in(rate: f64, nanoseconds: u64) -> u64 {
        (nanoseconds as f64 * rate / SECOND).ceil() as u64
    }

    fn at(&self, number: i64) -> u64 {
        let since = (number as f64 * self.interval) as i64;
        self.start.saturating_add_signed(since)
    }

    /// When the next message is due; none, if all were taken.
    pub fn peek(&self) -> Option<u64> {
        (self.next < self.end).then(|| self.at(self.next))
    }

    /// Takes the next message.
    pub fn advance(&mut self) {
        self.next = self.next.saturating_add(self.step);
    }

    /// How many counted messages are due at the time `now` and were not taken.
    pub fn left(&self, now: u64) -> u64 {
        let since = now.saturating_sub(self.start) as f64 / self.interval;
        let end = (since as i64).saturating_add(1).min(self.end);
        let numbers = end.saturating_sub(self.first_counted()).max(0) as u64;
        numbers.div_ceil(self.step as u64)
    }

    /// The number of the next message that is counted.
    fn first_counted(&self) -> i64 {
        if self.next < 0 {
            self.next.rem_euclid(self.step)
        } else {
            self.next
        }
    }

    /// Calls `record` with how long messages that were not taken have waited at the time `now`, and
    /// how many those are: the shortest time of each of at most 4096 groups.
    pub fn waits(&self, now: u64, mut record: impl FnMut(u64, u64)) {
        let left = self.left(now);
        let group = left.div_ceil(4096).max(1);
        let mut taken = 0;
        while taken < left {
            let count = group.min(left - taken);
            taken += count;
            let youngest = self.first_counted() + self.step * (taken - 1) as i64;
            record(now.saturating_sub(self.at(youngest)), count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(mut schedule: Schedule) -> Vec<u64> {
        let mut times = Vec::new();
        while let Some(time) = schedule.peek() {
            times.push(time);
            schedule.advance();
        }
        times
    }

    #[test]
    fn threads_share_all_messages_at_equal_distances() {
        for threads in 1..6 {
            for (count, warm_up) in [(1, 0), (3, 0), (10, 0), (10, 2_500_000), (7, 1)] {
                let parts = (0..threads)
                    .map(|index| Schedule::new(1000.0, 10_000_000, warm_up, count, index, threads));
                let parts: Vec<_> = parts.collect();
                let left: u64 = parts.iter().map(|part| part.left(u64::MAX)).sum();
                assert_eq!(left, count, "{threads} threads, {count}, {warm_up}");
                let mut times: Vec<u64> = parts.into_iter().flat_map(all).collect();
                times.sort_unstable();
                let earlier = warm_up / 1_000_000;
                let right: Vec<u64> = (0..count + earlier)
                    .map(|k| 10_000_000 - earlier * 1_000_000 + k * 1_000_000)
                    .collect();
                assert_eq!(times, right);
            }
        }
    }

    #[test]
    fn errors_do_not_add_up() {
        let schedule = Schedule::new(3.0, 0, 0, 3_000_001, 0, 1);
        assert_eq!(all(schedule).last(), Some(&1_000_000_000_000_000));
    }

    #[test]
    fn messages_of_a_time_are_counted() {
        for (rate, nanoseconds, count) in [
            (1000.0, 3_000_000_000, 3000),
            (0.5, 1_000_000_000, 1),
            (0.5, 4_000_000_000, 2),
            (1e8, 1_000, 100),
            (1.0, 1_500_000_000, 2),
        ] {
            assert_eq!(
                Schedule::count_in(rate, nanoseconds),
                count,
                "{rate} {nanoseconds}"
            );
        }
    }

    #[test]
    fn what_was_not_taken_has_waited_since_it_was_due() {
        let mut schedule = Schedule::new(1000.0, 5_000_000, 2_000_000, 10, 0, 1);
        let waits = |schedule: &Schedule, now| {
            let mut found = Vec::new();
            schedule.waits(now, |wait, count| found.push((wait, count)));
            found
        };
        // Nothing of the warm-up, and of the rest what is due
        assert_eq!(schedule.left(5_000_000), 1);
        assert_eq!(waits(&schedule, 6_500_000), [(1_500_000, 1), (500_000, 1)]);
        assert_eq!(waits(&schedule, 99_000_000).len(), 10);
        (0..10).for_each(|_| schedule.advance());
        assert_eq!(schedule.left(15_000_000), 2);
        assert_eq!(
            waits(&schedule, 15_000_000),
            [(2_000_000, 1), (1_000_000, 1)]
        );
        assert_eq!(waits(&schedule, 13_500_000), [(500_000, 1)]);
        (0..3).for_each(|_| schedule.advance());
        assert_eq!(schedule.left(15_000_000), 0);
        assert_eq!(waits(&schedule, 15_000_000), []);
    }

    #[test]
    fn many_that_were_not_taken_are_told_in_groups() {
        let schedule = Schedule::new(1e8, 0, 0, 100_000_000, 1, 2);
        let (mut groups, mut total) = (0, 0);
        schedule.waits(1_000_000_000, |_, count| {
            groups += 1;
            total += count;
        });
        assert_eq!(total, 50_000_000);
        assert!((4000..=4096).contains(&groups), "{groups}");
    }
}
