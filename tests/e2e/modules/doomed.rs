// SPDX-License-Identifier: GPL-2.0

//! A parameter that starts a thread, and another one that is refused, so that the module does not load:
//! the kernel frees it by another way than one that goes.

use core::fmt::{
    Formatter,
    Result as Written, //
};
use kernel::{
    module::this_module,
    prelude::*,
    time::{
        delay::fsleep,
        Delta, //
    }, //
};
use ktcp_server::{
    kthread,
    Parameter, //
};

module! {
    type: Doomed,
    name: "doomed",
    authors: ["The ktcp_server authors"],
    description: "Does not load",
    license: "GPL",
    params: {
        number: u8 {
            default: 0,
            description: "A number",
        },
    },
}

ktcp_server::parameters! {
    struct Parameters {
        /// Starts a thread
        go: Go = Go,
    }
}

#[derive(Clone, Copy)]
struct Go;

impl Parameter for Go {
    const KIND: &'static str = "go";

    fn parse(_text: &str) -> Option<Self> {
        kthread::spawn(this_module::<LocalModule>(), c"doomed/thread", |stop| {
            while !stop.is_requested() {
                fsleep(Delta::from_millis(2));
            }
            fsleep(Delta::from_millis(200));
            pr_info!("the thread ends\n");
        })
        .ok()?
        .detach();
        Some(Self)
    }

    fn show(&self, f: &mut Formatter<'_>) -> Written {
        f.write_str("go")
    }

    fn accepts(f: &mut Formatter<'_>) -> Written {
        f.write_str("anything")
    }
}

struct Doomed;

impl kernel::Module for Doomed {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let _ = Parameters::read()?.go;
        let _ = module_parameters::number.value();
        Ok(Self)
    }
}
