// SPDX-License-Identifier: GPL-2.0

//! Statistics of a server.

use crate::handler::CloseReason;
use kernel::{
    cpu::{
        self,
        CpuId, //
    },
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    }, //
};

macro_rules! counters {
    ($($(#[$doc:meta])* $counter:ident => $field:ident,)*) => {
        /// The events that are counted.
        #[derive(Clone, Copy)]
        pub(crate) enum Counter {
            $($counter,)*
        }

        const COUNTERS: usize = [$(Counter::$counter,)*].len();

        /// The statistics of a server since its start, except for [`open`](Self::open) and
        /// [`closing`](Self::closing).
        ///
        /// They are summed over all CPUs while these continue to count, so two fields need not be
        /// of the same instant.
        ///
        /// # Examples
        ///
        /// ```
        /// use ktcp_server::{KernelTcpServer, Statistics};
        ///
        /// /// Returns the number of connections that a limit refused.
        /// fn refused(server: &KernelTcpServer) -> u64 {
        ///     let Statistics { refused_by_limit, refused_by_peer_limit, .. } = server.statistics();
        ///     refused_by_limit + refused_by_peer_limit
        /// }
        /// ```
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Statistics {
            /// Connections that are open now.
            pub open: u64,
            /// Highest number of connections that were open at once.
            pub most_open: u64,
            /// Connections among those that are open now that have ended, and whose peers have not yet
            /// acknowledged everything.
            pub closing: u64,
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Statistics {
            /// Returns the names and values in the order in which they are shown.
            pub(crate) fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [
                    ("open", self.open),
                    ("most_open", self.most_open),
                    ("closing", self.closing),
                    $((stringify!($field), self.$field),)*
                ]
                .into_iter()
            }
        }

        impl Counters {
            /// Sums the counters of all CPUs.
            pub(crate) fn sum(&self) -> Statistics {
                Statistics {
                    $($field: self.sum_of(Counter::$counter),)*
                    ..Default::default()
                }
            }
        }
    };
}

counters! {
    /// Connections that were accepted and given to the handler.
    Accepted => accepted,
    /// New connections that were reset at the limit of connections.
    RefusedByLimit => refused_by_limit,
    /// New connections that were reset at the limit for their address.
    RefusedByPeerLimit => refused_by_peer_limit,
    /// New connections that were reset because another user watches their sockets, such as a BPF
    /// sockmap.
    RefusedInUse => refused_in_use,
    /// New connections that the handler refused.
    RefusedByHandler => refused_by_handler,
    /// New and open connections for which memory was short.
    OutOfMemory => out_of_memory,
    /// Failed attempts to accept, or to listen again, after each of which the server pauses.
    AcceptErrors => accept_errors,
    /// Restarts of the listener, after it was closed from outside the server.
    ListenerRestarts => listener_restarts,
    /// Bytes that were received.
    BytesIn => bytes_in,
    /// Bytes that were sent.
    BytesOut => bytes_out,
    /// Calls of the handler with received bytes.
    Calls => calls,
    /// Connections that the peer ended.
    Ended => closed_by_peer,
    /// Connections that the handler ended.
    Handler => closed_by_handler,
    /// Connections that ended because the handler failed.
    Failed => closed_by_handler_error,
    /// Connections that ended because the socket failed.
    Broken => closed_broken,
    /// Connections that ended because a message was longer than the input buffer.
    InputFull => closed_input_full,
    /// Connections that ended at the idle timeout.
    Idle => closed_idle,
    /// Connections that ended at the receive timeout.
    ReceiveTimeout => closed_receive_timeout,
    /// Connections that ended at the send timeout.
    SendTimeout => closed_send_timeout,
    /// Connections that ended because the server stopped.
    Stopped => closed_by_stop,
    /// Connections among those that have ended whose peers never acknowledged the last of what was sent.
    Unacknowledged => unacknowledged,
}

impl Counter {
    /// Returns the counter of connections that end for `reason`.
    pub(crate) fn of(reason: CloseReason) -> Self {
        match reason {
            CloseReason::Ended => Self::Ended,
            CloseReason::Handler => Self::Handler,
            CloseReason::Failed(_) => Self::Failed,
            CloseReason::Broken(_) => Self::Broken,
            CloseReason::InputFull => Self::InputFull,
            CloseReason::Idle => Self::Idle,
            CloseReason::ReceiveTimeout => Self::ReceiveTimeout,
            CloseReason::SendTimeout => Self::SendTimeout,
            CloseReason::Stopped => Self::Stopped,
        }
    }
}

/// Counts of the most frequent events, to be added to the [`Counters`] at once.
#[derive(Default)]
pub(crate) struct StatsBatch {
    pub(crate) bytes_in: usize,
    pub(crate) bytes_out: usize,
    pub(crate) calls: usize,
}

impl StatsBatch {
    /// Returns the number of bytes received and sent.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes_in + self.bytes_out
    }
}

/// The counters of one CPU, in cache lines of their own.
#[repr(align(64))]
struct Shard([Atomic<u64>; COUNTERS]);

/// The counters of a server. Counting writes no cache line that another CPU writes.
pub(crate) struct Counters {
    /// One shard for each possible CPU.
    shards: KVVec<Shard>,
}

impl Counters {
    /// Creates counters that are 0. May sleep.
    pub(crate) fn new() -> Result<Self> {
        let cpus = cpu::nr_cpu_ids() as usize;
        let mut shards = KVVec::with_capacity(cpus, GFP_KERNEL)?;
        for _ in 0..cpus {
            shards.push(Shard([const { Atomic::new(0) }; COUNTERS]), GFP_KERNEL)?;
        }
        Ok(Self { shards })
    }

    /// Adds `by` to a counter of this CPU. Any context. Migration to another CPU meanwhile costs
    /// speed only.
    pub(crate) fn add(&self, counter: Counter, by: u64) {
        let cpu = CpuId::current().as_u32() as usize;
        if let Some(shard) = self.shards.get(cpu) {
            shard.0[counter as usize].add(by, Relaxed);
        }
    }

    /// Adds the counts of `batch`, and resets it. Any context.
    pub(crate) fn add_batch(&self, batch: &mut StatsBatch) {
        let batch = core::mem::take(batch);
        self.add(Counter::BytesIn, batch.bytes_in as u64);
        self.add(Counter::BytesOut, batch.bytes_out as u64);
        self.add(Counter::Calls, batch.calls as u64);
    }

    fn sum_of(&self, counter: Counter) -> u64 {
        let values = self
            .shards
            .iter()
            .map(|shard| shard.0[counter as usize].load(Relaxed));
        values.fold(0, u64::wrapping_add)
    }
}
