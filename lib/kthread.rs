// SPDX-License-Identifier: GPL-2.0

//! Kernel threads that run a closure and are joined.
//!
//! C header: [`include/linux/kthread.h`](srctree/include/linux/kthread.h)

use crate::{
    latch::Latch,
    shim, //
};
use core::{
    cell::UnsafeCell,
    ptr::NonNull, //
};
use kernel::{
    bindings,
    error::from_err_ptr,
    prelude::*,
    sync::Arc, //
};

/// What a thread leaves for whoever joins it.
#[pin_data]
struct Outcome<T> {
    /// Opened by the thread when `value` is there.
    #[pin]
    done: Latch,
    /// Written by the thread before it opens `done`, read by the owner of the handle after.
    value: UnsafeCell<Option<T>>,
}

// SAFETY: The thread and the owner of the handle take turns at `value`, in the order that `done`
// imposes, so that sharing amounts to sending a `T`.
unsafe impl<T: Send> Sync for Outcome<T> {}

/// What a thread starts with.
struct Start<F, T> {
    function: F,
    outcome: Arc<Outcome<T>>,
}

/// Starts a kernel thread that runs `function`; `name` appears in `ps`.
///
/// # Errors
///
/// `ENOMEM`, or `EINTR` when the calling task is being killed. `function` is dropped then.
///
/// May sleep.
pub(crate) fn spawn<F, T>(name: &CStr, function: F) -> Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn_with(None, name, function)
}

/// The time in jiffies. Any context.
pub(crate) fn jiffies() -> usize {
    // SAFETY: A word that C writes; whichever value is read is a time of this moment.
    unsafe { (&raw const bindings::jiffies).read_volatile() }
}

/// Whether this CPU can run threads now.
pub(crate) fn is_online(cpu: u32) -> bool {
    // SAFETY: Any number may be asked for.
    unsafe { shim::ktcp_cpu_online(cpu) }
}

/// Like [`spawn`], but the thread runs on this CPU alone, for as long as that is online.
pub(crate) fn spawn_on<F, T>(cpu: u32, name: &CStr, function: F) -> Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    spawn_with(Some(cpu), name, function)
}

fn spawn_with<F, T>(cpu: Option<u32>, name: &CStr, function: F) -> Result<JoinHandle<T>>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let outcome = Arc::pin_init(
        pin_init!(Outcome {
            done <- Latch::new(),
            value: UnsafeCell::new(None),
        }),
        GFP_KERNEL,
    )?;
    let start = KBox::new(
        Start {
            function,
            outcome: outcome.clone(),
        },
        GFP_KERNEL,
    )?;
    let start = KBox::into_raw(start);

    // SAFETY: `run::<F, T>` takes what `start` is; the format string takes one string, which is
    // copied.
    let task = from_err_ptr(unsafe {
        bindings::kthread_create_on_node(
            Some(run::<F, T>),
            start.cast(),
            bindings::NUMA_NO_NODE,
            c"%s".as_char_ptr(),
            name.as_char_ptr(),
        )
    })
    .inspect_err(|_| {
        // SAFETY: There is no thread, so `start` is still ours alone.
        drop(unsafe { KBox::from_raw(start) });
    })?;

    // The thread exists but sleeps until it is woken. The reference keeps `task` valid after it
    // has exited.
    // SAFETY: `kthread_create_on_node` succeeded, so `task` is valid, and sleeps.
    unsafe {
        bindings::get_task_struct(task);
        if let Some(cpu) = cpu {
            bindings::kthread_bind(task, cpu);
        }
        bindings::wake_up_process(task);
    }

    Ok(JoinHandle {
        // INVARIANT: The thread was woken, no one stopped it, and we took a reference.
        // SAFETY: A task that is not an error pointer is not null either.
        task: unsafe { NonNull::new_unchecked(task) },
        outcome,
    })
}

/// What every thread of [`spawn`] runs.
///
/// # Safety
///
/// `data` comes from `KBox::<Start<F, T>>::into_raw`, and ownership passes to this call.
unsafe extern "C" fn run<F, T>(data: *mut c_void) -> c_int
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    // SAFETY: By this function's contract.
    let start = unsafe { KBox::from_raw(data.cast::<Start<F, T>>()) };
    let Start { function, outcome } = KBox::into_inner(start);

    let value = function();
    // SAFETY: `done` is still closed, so that nobody else looks at `value`.
    unsafe { *outcome.value.get() = Some(value) };
    outcome.done.open();
    0
}

/// The owner's end of a kernel thread. Dropping it joins the thread.
///
/// # Invariants
///
/// `task` is a kernel thread that was woken up and on which this value owns a reference; nobody
/// else calls `kthread_stop` on it.
pub(crate) struct JoinHandle<T> {
    task: NonNull<bindings::task_struct>,
    outcome: Arc<Outcome<T>>,
}

// SAFETY: Any task may wait for a thread and release the reference on it; the result is `Send`.
unsafe impl<T: Send> Send for JoinHandle<T> {}

// SAFETY: `&JoinHandle` offers only the comparison of a pointer.
unsafe impl<T: Send> Sync for JoinHandle<T> {}

impl<T> JoinHandle<T> {
    /// Waits until the thread has left the closure and this module's code for good, and returns
    /// what the closure returned. Sleeps; must not be called by the thread itself.
    pub(crate) fn join(self) -> T {
        self.wait();
        // SAFETY: `done` is open, so that the thread has stored a value and is finished with it.
        // It was not taken before, for that consumes the handle, of which there is but one.
        unsafe { (*self.outcome.value.get()).take().unwrap_unchecked() }
    }

    fn wait(&self) {
        // Not with `kthread_stop` alone: it would interrupt what the thread waits for, and if it
        // came before the first instruction of the thread, the closure would never run.
        self.outcome.done.wait();
    }
}

impl<T> Drop for JoinHandle<T> {
    fn drop(&mut self) {
        self.wait();
        // The thread may still have to return from `run`: this waits until it has exited.
        // SAFETY: By the type invariant `task` is a kernel thread on which we own a reference,
        // which this call releases, and nobody else stops it.
        unsafe { bindings::kthread_stop_put(self.task.as_ptr()) };
    }
}

#[cfg(CONFIG_KTCP_KUNIT_TEST)]
#[kunit_tests(ktcp_kthread)]
mod tests {
    use super::*;
    use kernel::{
        sync::atomic::{
            Atomic,
            Relaxed, //
        },
        time::{
            delay::fsleep,
            Delta, //
        }, //
    };

    /// Counts how often a value of it was dropped.
    struct Counter(Arc<Atomic<i32>>);

    impl Drop for Counter {
        fn drop(&mut self) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn the_result_is_joined_out() -> Result {
        let text = KBox::new([7u8; 32], GFP_KERNEL)?;
        let thread = spawn(c"ktcp/test", move || text)?;
        assert_eq!(thread.join()[31], 7);
        Ok(())
    }

    #[test]
    fn joining_waits_for_the_end() -> Result {
        let latch = Arc::pin_init(Latch::new(), GFP_KERNEL)?;
        let thread = spawn(c"ktcp/test", {
            let latch = latch.clone();
            move || {
                fsleep(Delta::from_millis(20));
                latch.open();
            }
        })?;
        drop(thread);
        assert!(latch.is_open());
        Ok(())
    }

    #[test]
    fn a_thread_that_is_dropped_at_once_runs_all_the_same() -> Result {
        let drops = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        let runs = Arc::new(Atomic::new(0), GFP_KERNEL)?;
        for _ in 0..100 {
            let captured = Counter(drops.clone());
            let runs = runs.clone();
            drop(spawn(c"ktcp/test", move || {
                runs.fetch_add(1, Relaxed);
                captured
            })?);
        }
        assert_eq!(runs.load(Relaxed), 100);
        assert_eq!(drops.load(Relaxed), 100);
        Ok(())
    }
}
