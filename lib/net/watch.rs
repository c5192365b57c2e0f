// SPDX-License-Identifier: GPL-2.0

//! Being told when a stream becomes ready, instead of waiting for it.

use crate::shim::raw::RawWatch;
use kernel::{
    prelude::*,
    sync::ArcBorrow,
    types::Opaque, //
};

/// Something that wants to know when a stream becomes ready.
pub(crate) trait Watcher: Send + Sync {
    /// Something has happened to the stream: bytes or the end of them have come, there is room to
    /// send again, or it is broken. Called in softirq context: must not sleep.
    fn ready(this: ArcBorrow<'_, Self>);
}

/// The link from a stream to its [`Watcher`].
///
/// # Invariants
///
/// `raw` is an initialised [`RawWatch`] whose `event` may be called with its `data` as long as the
/// watcher is there. It is pinned.
#[pin_data]
pub(crate) struct Watch {
    #[pin]
    raw: Opaque<RawWatch>,
}

// SAFETY: What is inside is written by C under the callback lock of the socket.
unsafe impl Send for Watch {}

// SAFETY: As above; `&Watch` lends out a pointer only.
unsafe impl Sync for Watch {}

impl Watch {
    /// A watch that tells `watcher`.
    ///
    /// # Safety
    ///
    /// `watcher` is the content of an [`Arc`](kernel::sync::Arc), and it is there whenever a stream
    /// is being watched.
    pub(crate) unsafe fn new<W: Watcher>(watcher: *const W) -> impl PinInit<Self> {
        // INVARIANT: `event::<W>` takes what `data` is.
        pin_init!(Self {
            raw: Opaque::new(RawWatch {
                event: event::<W>,
                data: watcher.cast(),
                data_ready: None,
                write_space: None,
                state_change: None,
            }),
        })
    }

    pub(super) fn as_ptr(&self) -> *mut RawWatch {
        self.raw.get()
    }
}

/// # Safety
///
/// `data` points to a valid `W` that is the content of an `Arc`.
unsafe extern "C" fn event<W: Watcher>(data: *const c_void) {
    // SAFETY: By this function's contract. There is no mutable reference to what is in an `Arc`.
    W::ready(unsafe { ArcBorrow::from_raw(data.cast::<W>()) });
}
