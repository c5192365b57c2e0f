// SPDX-License-Identifier: GPL-2.0

//! The commands that suites send to a [`Probe`](crate::probe::Probe).

/// A command to a probe: the first byte of a message, and the whole message unless said otherwise.
///
/// A message that is to be echoed begins with another byte, such as a small letter.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Command {
    /// Keeps the handler asleep until [`Record::gate`](crate::probe::Record) opens.
    Block = b'B',
    /// Answers with a goodbye and closes.
    Close = b'C',
    /// Consumes all that follows and answers nothing.
    Deaf = b'N',
    /// Drops the server in [`Record::victim`](crate::probe::Record), which may be the handler's own.
    DropServer = b'D',
    /// The same, once two handlers have been told to.
    DropServerTogether = b'M',
    /// Answers with an apology and returns an error.
    Fail = b'E',
    /// Writes for ever.
    Flood = b'G',
    /// Writes a last word, half-closes, and ignores its input from then on.
    HalfClose = b'H',
    /// Echoes a line once all of it is there; each line is a command of its own.
    Line = b'L',
    /// Writes more than the output can ever hold, and tells whether that was refused.
    Overfill = b'W',
    /// As [`Command::Line`]; a peer whose line does not end in time is told so.
    PoliteLine = b'P',
    /// Resets the connection.
    Reset = b'R',
    /// Keeps the handler asleep until [`Record::wake`](crate::probe::Record) is set.
    Sleep = b'S',
    /// Starts a server, which it leaves in [`Record::victim`](crate::probe::Record).
    StartServer = b'Q',
}

impl Command {
    /// A line without text.
    pub(crate) const EMPTY_LINE: [u8; 2] = [Self::Line.byte(), b'\n'];

    const ALL: [Self; 14] = [
        Self::Block,
        Self::Close,
        Self::Deaf,
        Self::DropServer,
        Self::DropServerTogether,
        Self::Fail,
        Self::Flood,
        Self::HalfClose,
        Self::Line,
        Self::Overfill,
        Self::PoliteLine,
        Self::Reset,
        Self::Sleep,
        Self::StartServer,
    ];

    /// Returns the byte that stands for the command.
    pub(crate) const fn byte(self) -> u8 {
        self as u8
    }

    /// Returns a message that is nothing but the command.
    pub(crate) const fn message(self) -> [u8; 1] {
        [self.byte()]
    }

    /// Returns the command that `byte` stands for.
    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|command| command.byte() == byte)
    }

    /// Returns true if a handler sleeps to carry out the command.
    pub(crate) const fn sleeps(self) -> bool {
        matches!(
            self,
            Self::Block
                | Self::DropServer
                | Self::DropServerTogether
                | Self::Sleep
                | Self::StartServer
        )
    }
}
