// SPDX-License-Identifier: GPL-2.0

//! Telnet's commands, which stand between the bytes that a person types.
//!
//! A client that speaks telnet (RFC 854) offers its options before anything else, and any byte of that
//! may be a line feed. They are skipped and not answered: a client that is told nothing stays a plain
//! terminal, which is all that a chat needs.

/// Interprets the next byte as a command; as the next byte of text, it stands for itself.
const IAC: u8 = 255;
/// `WILL`, `WONT`, `DO` and `DONT`, which an option follows.
const WILL: u8 = 251;
const DONT: u8 = 254;
/// The parameters of an option follow, up to `IAC SE` (RFC 855).
const SB: u8 = 250;
const SE: u8 = 240;
/// The first of all commands (RFC 1184); a byte below it is none.
const EOF: u8 = 236;

/// The place of the next byte of a telnet connection.
#[derive(Clone, Copy, Default)]
pub(crate) enum Telnet {
    #[default]
    Text,
    /// After `IAC`.
    Command,
    /// After `WILL`, `WONT`, `DO` or `DONT`.
    Option,
    /// Within the parameters of an option.
    Parameters,
    /// After `IAC` within them.
    ParametersCommand,
}

impl Telnet {
    /// Returns the byte if it is text.
    ///
    /// `IAC` before a byte that is no command is left out: such a byte, a line feed for one, is text.
    pub(crate) fn text(&mut self, byte: u8) -> Option<u8> {
        let (next, text) = match (*self, byte) {
            (Self::Text, IAC) => (Self::Command, None),
            (Self::Text, _) => (Self::Text, Some(byte)),
            (Self::Option, _) => (Self::Text, None),
            (Self::Parameters, IAC) => (Self::ParametersCommand, None),
            (Self::Parameters, _) | (Self::ParametersCommand, IAC) => (Self::Parameters, None),
            (Self::ParametersCommand, SE) => (Self::Text, None),
            // Another command ends the parameters as well, as for telnetd: the peer has lost their end.
            (Self::Command | Self::ParametersCommand, _) => match byte {
                WILL..=DONT => (Self::Option, None),
                SB => (Self::Parameters, None),
                EOF..SB => (Self::Text, None),
                _ => (Self::Text, Some(byte)),
            },
        };
        *self = next;
        text
    }
}
