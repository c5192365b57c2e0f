// SPDX-License-Identifier: GPL-2.0

//! The handler of a server, without its type.

use crate::{
    connection::{
        can_poll_bh,
        ConnDriver,
        HandlerDriver, //
    },
    handler::Handler, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// A maker of drivers, one for each connection.
pub(super) trait DriverFactory: Send + Sync {
    /// Makes the driver of a new connection. May sleep.
    fn make(&self) -> Result<KBox<dyn ConnDriver>>;
}

impl<H: Handler> DriverFactory for Arc<H> {
    fn make(&self) -> Result<KBox<dyn ConnDriver>> {
        Ok(KBox::new(HandlerDriver::new(self.clone()), GFP_KERNEL)?)
    }
}

/// A handler without its type.
pub(super) struct ErasedHandler {
    pub(super) drivers: KBox<dyn DriverFactory>,
    /// True if [polls that must not sleep](can_poll_bh) are of any use to it.
    pub(super) can_poll_bh: bool,
}

impl ErasedHandler {
    /// May sleep.
    pub(super) fn new<H: Handler>(handler: H) -> Result<Self> {
        let handler = Arc::new(handler, GFP_KERNEL)?;
        Ok(Self {
            drivers: KBox::new(handler, GFP_KERNEL)?,
            can_poll_bh: can_poll_bh::<H>(),
        })
    }
}

/// Returns a function that is part of the module which starts a server with a handler `H`.
pub(super) fn code_of<H: Handler>() -> *const () {
    <Arc<H> as DriverFactory>::make as *const ()
}
