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

        /// The figures of a server, all since its start but for [`open`](Self::open)
        /// and [`closing`](Self::closing).
        ///
        /// They are gathered from all CPUs while these go on counting: two figures of one value
        /// need not be of the same instant.
        ///
        /// # Examples
        ///
        /// ```
        /// use ktcp_server::{KernelTcpServer, Statistics};
        ///
        /// /// How many newcomers were sent away.
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
            /// The most connections that were ever open at once.
            pub most_open: u64,
            /// Connections among those that are open now that have ended, and whose peers have not yet
            /// acknowledged everything.
            pub closing: u64,
            $($(#[$doc])* pub $field: u64,)*
        }

        impl Statistics {
            /// Names and values, in the order in which they are to be shown.
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
            /// The sums over all CPUs.
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
    /// Newcomers that were reset because of the limit of connections.
    RefusedByLimit => refused_by_limit,
    /// Newcomers that were reset because their address had its share of connections.
    RefusedByPeerLimit => refused_by_peer_limit,
    /// Newcomers that were reset because their sockets are watched already, as by a BPF sockmap.
    RefusedInUse => refused_in_use,
    /// Newcomers that the handler refused.
    RefusedByHandler => refused_by_handler,
    /// Newcomers and connections for which there was no memory.
    OutOfMemory => out_of_memory,
    /// Failed attempts to accept, or to listen again, after each of which the server pauses.
    AcceptErrors => accept_errors,
    /// Times that the server has listened again, after its listener was closed under it.
    ListenerRestarts => listener_restarts,
    /// Bytes that were received.
    BytesIn => bytes_in,
    /// Bytes that were sent.
    BytesOut => bytes_out,
    /// Calls of the handler with something received.
    Calls => calls,
    /// Connections whose peer ended them.
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

/// The events that are counted most, before it is added to the [`Counters`].
#[derive(Default)]
pub(crate) struct StatsBatch {
    pub(crate) bytes_in: usize,
    pub(crate) bytes_out: usize,
    pub(crate) calls: usize,
}

impl StatsBatch {
    /// Returns how many bytes have moved.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes_in + self.bytes_out
    }
}

/// The counters of one CPU, in cache lines of their own.
#[repr(align(64))]
struct Shard([Atomic<u64>; COUNTERS]);

/// The counters of a server. Counting touches no cache line that another CPU writes.
pub(crate) struct Counters {
    /// One for each CPU.
    shards: KVVec<Shard>,
}

impl Counters {
    /// May sleep.
    pub(crate) fn new() -> Result<Self> {
        let cpus = cpu::nr_cpu_ids() as usize;
        let mut shards = KVVec::with_capacity(cpus, GFP_KERNEL)?;
        for _ in 0..cpus {
            shards.push(Shard([const { Atomic::new(0) }; COUNTERS]), GFP_KERNEL)?;
        }
        Ok(Self { shards })
    }

    /// Any context. Moving to another CPU meanwhile does no harm but to speed.
    pub(crate) fn add(&self, counter: Counter, by: u64) {
        let cpu = CpuId::current().as_u32() as usize;
        if let Some(shard) = self.shards.get(cpu) {
            shard.0[counter as usize].add(by, Relaxed);
        }
    }

    /// Adds what `batch` has counted, which begins anew. Any context.
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
