// SPDX-License-Identifier: GPL-2.0

//! How connections are run.

pub(crate) mod kthread;

use kernel::time::Delta;

/// A server that runs, whatever its handler and its executor are.
pub(crate) trait Running: Send {
    /// Whether the current task is one that runs the handler.
    fn runs_current(&self) -> bool;

    /// Stops listening and receiving, without waiting for anybody. May sleep.
    fn begin_stop(&self);

    /// Stops: sends what is to be sent, for `within` at most or as long as the configuration says,
    /// then resets what is left. When this returns, no task runs code of the handler any more, nor
    /// will. Sleeps; must not be called by a task that runs the handler.
    fn stop(&mut self, within: Option<Delta>);
}
