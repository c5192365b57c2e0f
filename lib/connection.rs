// SPDX-License-Identifier: GPL-2.0

//! One conversation: socket to handler to output to socket.

use crate::{
    buffer::Buffer,
    config::Config,
    handler::{
        CloseReason,
        Handler,
        Input,
        Next,
        Output, //
    },
    latch::Latch,
    net::{
        Shutdown,
        TcpStream, //
    },
};
use core::net::SocketAddr;
use kernel::prelude::*;

/// How a conversation ended.
struct Ending {
    reason: CloseReason,
    /// Whether the peer is to see a reset instead of the end of the stream.
    reset: bool,
}

impl Ending {
    fn orderly(reason: CloseReason) -> Self {
        Self {
            reason,
            reset: false,
        }
    }

    fn reset(reason: CloseReason) -> Self {
        Self {
            reason,
            reset: true,
        }
    }
}

/// The parts of a conversation that blocks: one task sees it through.
pub(crate) struct Conversation<'a, H: Handler> {
    handler: &'a H,
    stream: &'a TcpStream,
    /// Open when the server stops: nothing more is to be received then.
    stopping: &'a Latch,
    input: Buffer,
    output: Buffer,
}

impl<'a, H: Handler> Conversation<'a, H> {
    /// Allocates all that the conversation will need. May sleep.
    pub(crate) fn new(
        handler: &'a H,
        config: &Config,
        stream: &'a TcpStream,
        stopping: &'a Latch,
    ) -> Result<Self> {
        Ok(Self {
            handler,
            stream,
            stopping,
            input: Buffer::new(config.input)?,
            output: Buffer::new(config.output)?,
        })
    }

    /// Holds the conversation from `open` to `close`, and leaves the stream shut down or, if it is
    /// to be reset, returns `true`. Sleeps.
    pub(crate) fn hold(mut self, peer: SocketAddr) -> bool {
        let Ok(mut session) = self.handler.open(peer) else {
            return true;
        };
        let ending = match self.exchange(&mut session) {
            Ok(ending) | Err(ending) => ending,
        };
        self.handler.close(session, ending.reason);
        if !ending.reset {
            self.finish();
        }
        ending.reset
    }

    /// Receives and answers until there is a reason to end.
    fn exchange(&mut self, session: &mut H::Session) -> Result<Ending, Ending> {
        loop {
            if self.stopping.is_open() {
                return Ok(Ending::orderly(CloseReason::Stopped));
            }
            match self.input.receive(self.stream) {
                // The server's stop ends the stream too, and the peer's last bytes may be missing.
                Ok(_) if self.stopping.is_open() => {}
                Ok(0) => return self.end(session),
                Ok(_) => self.answer(session)?,
                Err(ENOBUFS) => return Ok(Ending::orderly(CloseReason::InputFull)),
                Err(error) => return Ok(Ending::reset(CloseReason::Broken(error))),
            }
        }
    }

    /// Lets the handler answer what is in the input, as often as it runs short of output.
    fn answer(&mut self, session: &mut H::Session) -> Result<(), Ending> {
        loop {
            let mut output = Output::new(&mut self.output);
            let next = self
                .handler
                .receive(session, &mut Input::new(&mut self.input), &mut output);
            // With nothing written there is nothing whose sending could make room.
            let again = output.ran_short() && !self.output.filled().is_empty();

            match next {
                Ok(Next::Reset) => return Err(Ending::reset(CloseReason::Handler)),
                Ok(_) | Err(_) => self.flush()?,
            }
            match next {
                Ok(Next::Receive) if again => {}
                Ok(Next::Receive) => return Ok(()),
                Ok(_) => return Err(Ending::orderly(CloseReason::Handler)),
                Err(error) => return Err(Ending::orderly(CloseReason::Failed(error))),
            }
        }
    }

    /// The peer has sent its last byte.
    fn end(&mut self, session: &mut H::Session) -> Result<Ending, Ending> {
        let ended = self.handler.end(
            session,
            &mut Input::new(&mut self.input),
            &mut Output::new(&mut self.output),
        );
        self.flush()?;
        Ok(Ending::orderly(match ended {
            Ok(()) => CloseReason::Ended,
            Err(error) => CloseReason::Failed(error),
        }))
    }

    /// Sends all that is in the output.
    fn flush(&mut self) -> Result<(), Ending> {
        let pending = self.output.filled();
        let count = pending.len();
        self.stream
            .write_all(pending)
            .map_err(|error| Ending::reset(CloseReason::Broken(error)))?;
        self.output.consume(count);
        Ok(())
    }

    /// Ends the stream towards the peer.
    ///
    /// Closing a socket with unread bytes resets the connection (RFC 2525, section 2.17), which can
    /// cost the peer our last answer; so what has come and is not wanted any more is read first.
    fn finish(&mut self) {
        const AT_MOST: usize = 1 << 20;

        let _ = self.stream.shutdown(Shutdown::Write);
        let mut discarded = 0;
        while discarded < AT_MOST {
            match self.input.discard(self.stream) {
                Ok(0) | Err(_) => return,
                Ok(count) => discarded += count,
            }
        }
    }
}
