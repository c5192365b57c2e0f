// SPDX-License-Identifier: GPL-2.0

//! Receiving the content of a request (RFC 9112, sections 6 and 7).

use super::{
    request::is_token,
    status::Status, //
};

/// How long chunk extensions, or trailer fields, may be in all.
const MAX_EXTRA: u32 = 4 << 10;

/// How the length of a content is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// By its number of bytes.
    Fixed(u64),
    /// By chunks that each tell their own.
    Chunked,
}

/// Where in a content we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a content of which so many bytes are to come.
    Fixed(u64),
    /// In the length of a chunk, with so many digits read.
    Length(u8),
    /// In the white space behind the length, which only an extension may follow.
    BeforeExtension,
    /// Where the name of an extension begins.
    ExtensionName,
    /// In an extension.
    Extension(Extension),
    /// At the line feed behind that.
    LengthEnd,
    /// In the data of a chunk of which so many bytes are to come.
    Data(u64),
    /// At the carriage return behind the data.
    DataReturn,
    /// At the line feed behind the data.
    DataEnd,
    /// At the start of a line behind the last chunk.
    TrailerStart,
    /// In the name of a field there.
    TrailerName,
    /// In its value.
    Trailer,
    /// At its line feed.
    TrailerEnd,
    /// At the line feed of the last one, which is empty.
    LastEnd,
    /// Behind it all.
    Done,
}

/// Where in an extension of a chunk we are (RFC 9112, section 7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    /// In its name.
    Name,
    /// In the white space behind that.
    AfterName,
    /// Behind the equals sign.
    BeforeValue,
    /// In a value that is a token.
    Token,
    /// In a value in quotes.
    Quoted,
    /// Behind a backslash in it.
    Escaped,
    /// Behind its last quote.
    AfterQuoted,
    /// In the white space behind a value.
    AfterValue,
}

impl Extension {
    /// The place behind `byte`; nothing where the grammar has no such byte.
    fn step(self, byte: u8) -> Option<Self> {
        let is_blank = matches!(byte, b' ' | b'\t');
        Some(match (self, byte) {
            (Self::Name, _) if is_token(byte) => Self::Name,
            (Self::Name | Self::AfterName, _) if is_blank => Self::AfterName,
            (Self::Name | Self::AfterName, b'=') => Self::BeforeValue,
            (Self::BeforeValue, _) if is_blank => Self::BeforeValue,
            (Self::BeforeValue, b'"') => Self::Quoted,
            (Self::BeforeValue | Self::Token, _) if is_token(byte) => Self::Token,
            (Self::Quoted, b'"') => Self::AfterQuoted,
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::Quoted | Self::Escaped, _) => Self::Quoted,
            (Self::Token | Self::AfterQuoted | Self::AfterValue, _) if is_blank => Self::AfterValue,
            _ => return None,
        })
    }

    /// Returns true where the line can end.
    fn can_end(self) -> bool {
        matches!(self, Self::Name | Self::Token | Self::AfterQuoted)
    }

    /// Returns true where a semicolon begins another one.
    fn can_be_followed(self) -> bool {
        self.can_end() || matches!(self, Self::AfterName | Self::AfterValue)
    }
}

/// Finds the end of a content, and discards it.
#[derive(Debug)]
pub struct Receiver {
    place: Place,
    /// The length of the chunk that is being read.
    length: u64,
    /// How many more bytes of content are allowed.
    allowed: u64,
    /// How many bytes of extensions and trailers have come.
    extra: u32,
}

impl Receiver {
    /// For a content of at most `limit` bytes: 413 beyond.
    pub fn new(framing: Framing, limit: u64) -> Result<Self, Status> {
        let place = match framing {
            Framing::None => Place::Done,
            Framing::Fixed(length) if length > limit => return Err(Status::CONTENT_TOO_LARGE),
            Framing::Fixed(length) => Place::Fixed(length),
            Framing::Chunked => Place::Length(0),
        };
        Ok(Self {
            place,
            length: 0,
            allowed: limit,
            extra: 0,
        })
    }

    /// Returns how many more bytes of content are allowed, whatever is left of those that were
    /// announced.
    #[cfg(any(test, feature = "check"))]
    pub fn allowed(&self) -> u64 {
        self.allowed
    }

    /// Takes from the front of `input` what belongs to the content; says how many bytes that are,
    /// and whether the content ends with them.
    pub fn take(&mut self, input: &[u8]) -> Result<(usize, bool), Status> {
        let mut rest = input;
        loop {
            match self.place {
                Place::Done => return Ok((input.len() - rest.len(), true)),
                _ if rest.is_empty() => return Ok((input.len(), false)),
                Place::Fixed(left) => {
                    let (left, behind) = skip(rest, left);
                    rest = behind;
                    self.place = if left == 0 {
                        Place::Done
                    } else {
                        Place::Fixed(left)
                    };
                }
                Place::Data(left) => {
                    let (left, behind) = skip(rest, left);
                    rest = behind;
                    self.place = if left == 0 {
                        Place::DataReturn
                    } else {
                        Place::Data(left)
                    };
                }
                _ => {
                    self.place = self.step(rest[0])?;
                    rest = &rest[1..];
                }
            }
        }
    }

    /// Where the next byte leads, outside of data.
    fn step(&mut self, byte: u8) -> Result<Place, Status> {
        Ok(match (self.place, byte) {
            (Place::Length(digits), _) if byte.is_ascii_hexdigit() => self.digit(digits, byte)?,
            (Place::Length(1..), b'\r') => Place::LengthEnd,
            (Place::Length(1..) | Place::BeforeExtension, b';') => Place::ExtensionName,
            (Place::Length(1..) | Place::BeforeExtension, b' ' | b'\t') => {
                self.extra(Place::BeforeExtension, byte)?
            }
            (Place::ExtensionName, b' ' | b'\t') => self.extra(Place::ExtensionName, byte)?,
            (Place::ExtensionName, _) if is_token(byte) => {
                self.extra(Place::Extension(Extension::Name), byte)?
            }
            (Place::Extension(at), b'\r') if at.can_end() => Place::LengthEnd,
            (Place::Extension(at), b';') if at.can_be_followed() => {
                self.extra(Place::ExtensionName, byte)?
            }
            (Place::Extension(at), _) => {
                let at = at.step(byte).ok_or(Status::BAD_REQUEST)?;
                self.extra(Place::Extension(at), byte)?
            }
            (Place::LengthEnd, b'\n') if self.length == 0 => Place::TrailerStart,
            (Place::LengthEnd, b'\n') => {
                let length = core::mem::take(&mut self.length);
                self.allowed = self
                    .allowed
                    .checked_sub(length)
                    .ok_or(Status::CONTENT_TOO_LARGE)?;
                Place::Data(length)
            }
            (Place::DataReturn, b'\r') => Place::DataEnd,
            (Place::DataEnd, b'\n') => Place::Length(0),
            (Place::TrailerStart, b'\r') => Place::LastEnd,
            (Place::Trailer, b'\r') => Place::TrailerEnd,
            (Place::TrailerName, b':') => Place::Trailer,
            (Place::TrailerStart | Place::TrailerName, _) if is_token(byte) => {
                self.extra(Place::TrailerName, byte)?
            }
            (Place::Trailer, _) => self.extra(Place::Trailer, byte)?,
            (Place::TrailerEnd, b'\n') => Place::TrailerStart,
            (Place::LastEnd, b'\n') => Place::Done,
            _ => return Err(Status::BAD_REQUEST),
        })
    }

    /// One more digit of the length of a chunk.
    fn digit(&mut self, digits: u8, byte: u8) -> Result<Place, Status> {
        const MAX_DIGITS: u8 = 15;

        if digits == MAX_DIGITS {
            return Err(Status::BAD_REQUEST);
        }
        let value = match byte {
            b'0'..=b'9' => byte - b'0',
            _ => (byte | 0x20) - b'a' + 10,
        };
        self.length = self.length << 4 | u64::from(value);
        Ok(Place::Length(digits + 1))
    }

    /// A byte of what is read and ignored.
    fn extra(&mut self, place: Place, byte: u8) -> Result<Place, Status> {
        if byte.is_ascii_control() && byte != b'\t' {
            return Err(Status::BAD_REQUEST);
        }
        self.extra += 1;
        if self.extra > MAX_EXTRA {
            return Err(Status::FIELDS_TOO_LARGE);
        }
        Ok(place)
    }
}

/// Goes past `left` bytes, as far as they have come: how many are to come, and what is behind.
fn skip(input: &[u8], left: u64) -> (u64, &[u8]) {
    let count = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
    (left - count as u64, &input[count..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receive(input: &[u8], limit: u64) -> Result<(usize, bool), Status> {
        let all = Receiver::new(Framing::Chunked, limit)?.take(input);
        // The same, byte by byte.
        let mut receiver = Receiver::new(Framing::Chunked, limit)?;
        let mut taken = 0;
        let mut result = Ok((0, false));
        for byte in input {
            result = receiver.take(core::slice::from_ref(byte));
            match result {
                Ok((count, _)) => taken += count,
                Err(_) => break,
            }
            if result == Ok((1, true)) {
                break;
            }
        }
        assert_eq!(all, result.map(|(_, done)| (taken, done)));
        all
    }

    #[test]
    fn fixed() {
        let mut receiver = Receiver::new(Framing::Fixed(5), 5).unwrap();
        assert_eq!(receiver.take(b"abc"), Ok((3, false)));
        assert_eq!(receiver.take(b"defg"), Ok((2, true)));
        assert_eq!(receiver.take(b"h"), Ok((0, true)));
        let refused = Receiver::new(Framing::Fixed(6), 5).map(|_| ());
        assert_eq!(refused, Err(Status::CONTENT_TOO_LARGE));
    }

    #[test]
    fn chunks() {
        assert_eq!(receive(b"0\r\n\r\nGET", 0), Ok((5, true)));
        assert_eq!(receive(b"3\r\nabc\r\n0\r\n\r\n", 3), Ok((13, true)));
        assert_eq!(
            receive(b"00A\r\n0123456789\r\n0\r\n\r\n", 10),
            Ok((22, true))
        );
        assert_eq!(
            receive(b"1;a=\"b\"\r\nx\r\n0\r\nT: v\r\nU: w\r\n\r\n", 10),
            Ok((29, true))
        );
        assert_eq!(receive(b"3\r\nab", 10), Ok((5, false)));
        // White space before the semicolon, and none of what follows means anything
        for input in [
            &b"1 ;a\r\nx\r\n0\r\n\r\n"[..],
            b"1\t ; a = b\r\nx\r\n0 ;c\r\n\r\n",
            b"1;a;b=\"c;d\"\r\nx\r\n0\r\n\r\n",
            b"1 ; a=b ; c = \"\\\"\\\\=\xff\" ;d\r\nx\r\n0\r\n\r\n",
            b"1;a=\"\";b\r\nx\r\n0\r\n\r\n",
            b"0\r\nT:\r\nU:v\r\nA-b_c: \xff\t x\r\n\r\n",
        ] {
            assert_eq!(receive(input, 10), Ok((input.len(), true)));
        }
    }

    #[test]
    fn too_large() {
        let too_large = Err(Status::CONTENT_TOO_LARGE);
        assert_eq!(receive(b"4\r\nabcd\r\n0\r\n\r\n", 3), too_large);
        assert_eq!(receive(b"2\r\nab\r\n2\r\n", 3), too_large);
        assert_eq!(receive(b"fffffffffffffff\r\n", 3), too_large);
        let mut endless = b"0\r\n".to_vec();
        endless.extend([b'a'; 5000]);
        assert_eq!(receive(&endless, 3), Err(Status::FIELDS_TOO_LARGE));
        let blank = [b"3".to_vec(), vec![b' '; 5000]].concat();
        assert_eq!(receive(&blank, 3), Err(Status::FIELDS_TOO_LARGE));
    }

    #[test]
    fn what_is_no_chunk() {
        for input in [
            &b"\r\n"[..],
            b" 3\r\n",
            b"3 \r\nabc\r\n",
            b"-3\r\n",
            b"+3\r\n",
            b"0x3\r\nabc\r\n",
            b"3\nabc\r\n",
            b"3\r\nabcd\r\n",
            b"3\r\nabc\n",
            b"3\r\nabc\r\r",
            b"3\rabc",
            b"3;\nabc",
            b"3;a\0\r\n",
            b"0\r\n\n",
            b"0\r\na: b\n\r\n",
            b"0\r\na: b\r\r\n",
            b"10000000000000000\r\n",
            b"g\r\n",
            b"3 \t\r\nabc\r\n",
            b"3 3\r\nabc\r\n",
            b"3 a;b\r\nabc\r\n",
            b";a\r\n",
            b"3;\r\nabc\r\n",
            b"3;;a\r\nabc\r\n",
            b"3;a \r\nabc\r\n",
            b"3;a b\r\nabc\r\n",
            b"3;a=\r\nabc\r\n",
            b"3;a=;b\r\nabc\r\n",
            b"3;a=b c\r\nabc\r\n",
            b"3;a=b=c\r\nabc\r\n",
            b"3;a=\"b\r\nabc\r\n",
            b"3;a=\"b\\\"\r\nabc\r\n",
            b"3;a=\"b\"c\r\nabc\r\n",
            b"3;\"a\"\r\nabc\r\n",
            b"3;=a\r\nabc\r\n",
            b"3 \n",
            // Trailers that are no fields
            b"0\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
            b"0\r\nnothing\r\n\r\n",
            b"0\r\n: v\r\n\r\n",
            b"0\r\nT : v\r\n\r\n",
            b"0\r\n T: v\r\n\r\n",
            b"0\r\nT: v\r\n folded\r\n\r\n",
            b"0\r\nT: v\r\n\tfolded\r\n\r\n",
            b"0\r\nT\0: v\r\n\r\n",
            b"0\r\nT: \x7f\r\n\r\n",
            b"0\r\n\xfc: v\r\n\r\n",
            b"0\r\n\"T\": v\r\n\r\n",
        ] {
            let shown = String::from_utf8_lossy(input);
            assert_eq!(
                receive(input, 1 << 40),
                Err(Status::BAD_REQUEST),
                "{shown:?}"
            );
        }
    }
}
