// SPDX-License-Identifier: GPL-2.0

//! A TCP service that echoes its input in capitals.

use kernel::prelude::*;
use ktcp_server::{
    Handler,
    Input,
    KernelTcpServer,
    Next,
    Output,
    Peer, //
};

module! {
    type: Instance,
    name: "@NAME@",
    authors: ["@AUTHOR@"],
    description: "A TCP service that echoes its input in capitals",
    license: "GPL",
}

ktcp_server::parameters! {
    /// Parameters of `insmod`: `insmod @NAME@.ko addr=0.0.0.0` serves other machines, too.
    struct Parameters: Listen {
        /// TCP port to listen on; 0 lets the kernel choose
        port: u16 = 12347,
    }
}

/// The protocol.
struct Service;

impl Handler for Service {
    /// The state of one connection: none yet.
    type Session = ();

    fn open(&self, _peer: &Peer<'_>) -> Result {
        Ok(())
    }

    fn receive(
        &self,
        _session: &mut (),
        input: &mut Input<'_>,
        output: &mut Output<'_>,
    ) -> Result<Next> {
        while !input.is_empty() {
            let mut piece = [0; 64];
            let count = input.len().min(piece.len());
            piece[..count].copy_from_slice(&input[..count]);
            piece.make_ascii_uppercase();
            if output.write(&piece[..count]).is_err() {
                // No room: the rest of the input is shown again when there is.
                break;
            }
            input.consume(count);
        }
        Ok(Next::Receive)
    }
}

/// The module: it serves as long as it is loaded.
struct Instance {
    _server: KernelTcpServer,
}

impl kernel::Module for Instance {
    fn init(module: &'static ThisModule) -> Result<Self> {
        let set = Parameters::read()?;
        let server = set.builder(c"@NAME@").start(module, Service)?;
        pr_info!("listening on {:?}\n", server.local_addr());
        Ok(Self { _server: server })
    }
}

#[kunit_tests(@NAME@)]
mod tests {
    use super::*;
    use ktcp_server::testing;

    #[test]
    fn letters_become_capitals() -> Result {
        assert_eq!(
            &testing::converse(Service, b"hello, kernel\n")?[..],
            b"HELLO, KERNEL\n"
        );
        Ok(())
    }

    #[test]
    fn more_comes_back_than_any_buffer_holds() -> Result {
        let said = KVVec::from_elem(b'x', 1 << 20, GFP_KERNEL)?;
        let answer = testing::converse(Service, &said)?;
        assert_eq!(answer.len(), said.len());
        assert!(answer.iter().all(|&byte| byte == b'X'));
        Ok(())
    }
}
