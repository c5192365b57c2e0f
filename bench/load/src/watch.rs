// SPDX-License-Identifier: GPL-2.0

//! Who used the CPUs: what /proc says of this machine and of single threads.

use serde::Serialize;
use std::{fs, path::Path};

/// CPU time used so far, in nanoseconds; the difference of two is what counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// By all CPUs together, interrupts included, with the precision of a tick.
    pub machine: u64,
    /// By the threads of this process.
    pub load: u64,
    /// By the threads whose names begin as was asked for.
    pub watched: u64,
}

/// CPU time over a while, as parts of one CPU: 1.0 is one CPU that was busy all the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Busy {
    pub machine: f64,
    pub load: f64,
    pub watched: f64,
}

/// The time used by one thread: the first number of its `schedstat`.
fn of_thread(folder: &Path) -> u64 {
    let text = fs::read_to_string(folder.join("schedstat")).unwrap_or_default();
    let first = text.split_whitespace().next();
    first.and_then(|word| word.parse().ok()).unwrap_or(0)
}

fn of_process(process: &Path, name: &str) -> u64 {
    let threads = fs::read_dir(process.join("task")).into_iter().flatten();
    threads
        .flatten()
        .filter(|thread| {
            let comm = fs::read_to_string(thread.path().join("comm")).unwrap_or_default();
            comm.starts_with(name)
        })
        .map(|thread| of_thread(&thread.path()))
        .sum()
}

/// The ticks that all CPUs did not spend idle, from the text of /proc/stat.
fn busy_ticks(stat: &str) -> u64 {
    let first = stat.lines().next().unwrap_or_default();
    let fields: Vec<u64> = first
        .split_whitespace()
        .skip(1)
        .map_while(|word| word.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal; guest time is part of user time.
    let counted = fields.iter().take(8).enumerate();
    counted
        .filter(|(i, _)| *i != 3 && *i != 4)
        .map(|(_, ticks)| ticks)
        .sum()
}

/// What was used until now.
pub fn used(name: &str) -> Used {
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let watched = processes
        .filter(|entry| entry.file_name().as_encoded_bytes()[0].is_ascii_digit())
        .map(|entry| of_process(&entry.path(), name))
        .sum();
    Used {
        machine: busy_ticks(&stat) * tick,
        load: of_process(Path::new("/proc/self"), ""),
        watched,
    }
}

impl Used {
    /// How busy each was since `earlier`, which was `nanoseconds` ago.
    pub fn since(&self, earlier: &Self, nanoseconds: u64) -> Busy {
        let part =
            |now: u64, then: u64| now.saturating_sub(then) as f64 / nanoseconds.max(1) as f64;
        Busy {
            machine: part(self.machine, earlier.machine),
            load: part(self.load, earlier.load),
            watched: part(self.watched, earlier.watched),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_not_counted() {
        let stat = "cpu  10 20 30 4000 5000 60 70 80 9 9\ncpu0 1 2 3 4 5 6 7 8 0 0\n";
        assert_eq!(busy_ticks(stat), 10 + 20 + 30 + 60 + 70 + 80);
        assert_eq!(busy_ticks(""), 0);
    }

    #[test]
    fn a_thread_that_has_worked_is_seen() {
        let (done, finished) = std::sync::mpsc::channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let worker = std::thread::Builder::new().name("busybee".into());
        let handle = worker.spawn(move || {
            let mut working = rustix::time::Timespec::default();
            while working.tv_sec == 0 && working.tv_nsec < 50_000_000 {
                working = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            }
            done.send(()).expect("the test waits");
            // Until the test ends: what a thread has used is gone with it.
            let _ = stopped.recv();
        });
        finished.recv().expect("a thread that works");
        let used = used("busybee");
        drop(stop);
        handle.expect("a thread").join().expect("it only counts");
        assert!(used.watched >= 50_000_000, "{used:?}");
        // It was read a moment earlier, when the worker may still have been on its way to sleep.
        assert!(used.load >= 45_000_000, "{used:?}");
    }

    #[test]
    fn what_was_used_is_a_part_of_the_time() {
        let used = |machine, load, watched| Used {
            machine,
            load,
            watched,
        };
        let busy = used(700, 300, 150).since(&used(500, 200, 200), 100);
        // A thread that has ended takes its time with it.
        let (machine, load, watched) = (2.0, 1.0, 0.0);
        assert_eq!(
            busy,
            Busy {
                machine,
                load,
                watched
            }
        );
    }
}
