// SPDX-License-Identifier: GPL-2.0

//! A parameter whose type starts a thread that reads it while the kernel sets it, as safe code may.

use core::fmt::{
    Formatter,
    Result as Written, //
};
use kernel::{
    module::this_module,
    prelude::*,
    sync::atomic::{
        Atomic,
        Relaxed, //
    },
    time::Delta, //
};
use ktcp_server::{
    kthread,
    Parameter, //
};

module! {
    type: Torn,
    name: "torn",
    authors: ["The ktcp_server authors"],
    description: "Reads a parameter while it is set",
    license: "GPL",
}

ktcp_server::parameters! {
    struct Parameters {
        /// A number, kept many times
        words: Words = Words([0; 32]),
    }
}

/// Many words, all of which are the same: one that is torn shows.
#[derive(Clone, Copy)]
struct Words([u64; 32]);

impl Parameter for Words {
    const KIND: &'static str = "words";

    fn parse(text: &str) -> Option<Self> {
        static STARTED: Atomic<u32> = Atomic::new(0);

        if STARTED.fetch_add(1, Relaxed) == 0 {
            leak_a_reader().ok()?;
        }
        // The parameters can be read here, too.
        Parameters::read().ok()?;
        Some(Self([u64::parse(text)?; 32]))
    }

    fn show(&self, f: &mut Formatter<'_>) -> Written {
        self.0[0].show(f)
    }

    fn accepts(f: &mut Formatter<'_>) -> Written {
        u64::accepts(f)
    }
}

/// Starts a thread that reads the parameter until the module goes.
fn leak_a_reader() -> Result {
    let thread = kthread::spawn(this_module::<LocalModule>(), c"torn/reads", |stop| {
        let (mut values, mut torn, mut last) = (0u32, 0u32, 0);
        while !stop.wait(Delta::ZERO) {
            for _ in 0..1000 {
                let Ok(Parameters {
                    words: Words(words),
                }) = Parameters::read()
                else {
                    continue;
                };
                torn += u32::from(words.iter().any(|word| *word != words[0]));
                values += u32::from(words[0] != last);
                last = words[0];
            }
        }
        pr_info!("read {values} values, {torn} torn\n");
    })?;
    core::mem::forget(thread);
    Ok(())
}

struct Torn;

impl kernel::Module for Torn {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}
