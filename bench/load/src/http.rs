// SPDX-License-Identifier: GPL-2.0

//! Responses of HTTP/1.1 (RFC 9112): where one ends and the next begins.

use crate::{failure::Failure, target::Target};

/// How long the head of a response may be.
const MAX_HEAD: usize = 64 << 10;
/// How many fields it may have.
const MAX_FIELDS: usize = 64;

/// Contents from this size on stay in the socket: nobody looks at them, and to copy them would cost
/// the client more than sending them costs a server.
const LARGE: u64 = 16 << 10;
/// What is read at once where a head is expected that such a content follows.
const HEAD_AND_LITTLE: usize = 4096;

/// The request for `path` at `host`, which is the value of the Host field.
pub fn request(host: &Target, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes()
}

/// Where in its responses a connection is.
#[derive(Default)]
pub struct Place {
    /// Bytes of content that are still to come.
    content: u64,
    /// The start of a head, the rest of which is still to come.
    head: Vec<u8>,
}

/// What a head says about what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// A content of so many bytes.
    Final { content: u64 },
    /// Another head.
    Interim,
}

/// Takes responses apart, of many connections.
///
/// A server says the same head again and again, until its clock is a second further. So the last
/// one is kept, and one that is the same byte by byte is not parsed: it means the same.
#[derive(Default)]
pub struct Reader {
    last: Vec<u8>,
    last_content: u64,
    /// Responses, and the bytes of their contents.
    responses: u64,
    bytes: u64,
}

impl Reader {
    /// Takes what has come; says how many responses are complete with it. More than `most` must
    /// not come.
    pub fn take(&mut self, place: &mut Place, mut bytes: &[u8], most: u64) -> Result<u64, Failure> {
        let mut complete = 0;
        while !bytes.is_empty() {
            if place.content == 0 {
                if complete == most {
                    return Err(Failure::Surplus);
                }
                match self.head(place, &mut bytes)? {
                    None => break,
                    Some(Head::Interim) => continue,
                    Some(Head::Final { content }) => place.content = content,
                }
            }
            let part = place.content.min(bytes.len() as u64);
            place.content -= part;
            bytes = &bytes[part as usize..];
            self.bytes += part;
            complete += u64::from(place.content == 0);
        }
        self.responses += complete;
        Ok(complete)
    }

    /// Takes a head from the front of `bytes`, or all of them if the end of it is still to come.
    fn head(&mut self, place: &mut Place, bytes: &mut &[u8]) -> Result<Option<Head>, Failure> {
        if place.head.is_empty() {
            if let Some(rest) = bytes.strip_prefix(&*self.last) {
                if !self.last.is_empty() {
                    *bytes = rest;
                    let content = self.last_content;
                    return Ok(Some(Head::Final { content }));
                }
            }
        }
        let carried = place.head.len();
        place.head.extend_from_slice(bytes);
        let Some((head, length)) = parse(&place.head)? else {
            if place.head.len() > MAX_HEAD {
                return Err(Failure::Malformed);
            }
            *bytes = &[];
            return Ok(None);
        };
        *bytes = &bytes[length - carried..];
        if let Head::Final { content } = head {
            self.last.clear();
            self.last.extend_from_slice(&place.head[..length]);
            self.last_content = content;
        }
        place.head.clear();
        Ok(Some(head))
    }

    /// How much to read at once, and whether to discard it unseen.
    pub fn wanted(&self, place: &Place) -> (usize, bool) {
        if place.content >= LARGE {
            (usize::try_from(place.content).unwrap_or(usize::MAX), true)
        } else if place.content == 0 && self.last_content >= LARGE {
            (HEAD_AND_LITTLE, false)
        } else {
            (usize::MAX, false)
        }
    }

    /// So many bytes of a content have come and were discarded; says how many responses are complete
    /// with them.
    pub fn skip(&mut self, place: &mut Place, count: u64) -> u64 {
        place.content -= count;
        self.bytes += count;
        let complete = u64::from(place.content == 0);
        self.responses += complete;
        complete
    }

    /// How many responses there were, and how many bytes of content in them.
    pub fn totals(&self) -> (u64, u64) {
        (self.responses, self.bytes)
    }
}

/// What the head at the start of `bytes` says, and its length; nothing if the end of it is not there.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Failure> {
    let mut fields = [httparse::EMPTY_HEADER; MAX_FIELDS];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err(Failure::Malformed),
    };
    let head = match response.code {
        Some(102..=199 | 100) => Head::Interim,
        Some(200) => Head::Final {
            content: content_length(response.headers)?,
        },
        _ => return Err(Failure::Status),
    };
    Ok(Some((head, length)))
}

fn content_length(fields: &[httparse::Header<'_>]) -> Result<u64, Failure> {
    let mut length = None;
    for field in fields {
        if field.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(Failure::Malformed);
        }
        if field.name.eq_ignore_ascii_case("content-length") {
            // What it may be, and no sign.
            let digits = field.value.iter().all(u8::is_ascii_digit);
            let text = std::str::from_utf8(field.value).ok().filter(|_| digits);
            let value: Option<u64> = text.and_then(|text| text.parse().ok());
            if value.is_none() || length.is_some_and(|earlier| Some(earlier) != value) {
                return Err(Failure::Malformed);
            }
            length = value;
        }
    }
    length.ok_or(Failure::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";

    /// Takes `text` in pieces of `size` bytes: how many responses, and of how many bytes.
    fn take(text: &[u8], size: usize, most: u64) -> Result<(u64, u64), Failure> {
        let (mut reader, mut place, mut count) = (Reader::default(), Place::default(), 0);
        for piece in text.chunks(size) {
            count += reader.take(&mut place, piece, most - count)?;
        }
        assert_eq!(reader.totals().0, count);
        Ok(reader.totals())
    }

    #[test]
    fn responses_however_they_are_cut() {
        let other = b"HTTP/1.1 200 Fine\r\nServer: x\r\ncontent-length: 0\r\n\r\n";
        let interim = b"HTTP/1.1 100 Continue\r\n\r\n";
        let text = [ONE, ONE, other, interim, ONE, other, other].concat();
        for size in 1..=text.len() {
            assert_eq!(take(&text, size, 6), Ok((6, 9)), "in pieces of {size}");
            assert_eq!(take(&text, size, 5), Err(Failure::Surplus));
        }
    }

    #[test]
    fn a_large_content_is_not_looked_at() {
        let (mut reader, mut place) = (Reader::default(), Place::default());
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
        assert_eq!(reader.wanted(&place), (usize::MAX, false));
        assert_eq!(reader.take(&mut place, head, 1), Ok(0));
        assert_eq!(reader.wanted(&place), (1_000_000, true));
        assert_eq!(reader.skip(&mut place, 995_000), 0);
        // The rest is little.
        assert_eq!(reader.wanted(&place), (usize::MAX, false));
        assert_eq!(reader.take(&mut place, &[0; 5000], 1), Ok(1));
        assert_eq!(reader.wanted(&place), (HEAD_AND_LITTLE, false));
        assert_eq!(reader.take(&mut place, head, 1), Ok(0));
        assert_eq!(reader.skip(&mut place, 1_000_000), 1);
        assert_eq!(reader.totals(), (2, 2_000_000));
    }

    #[test]
    fn a_head_that_only_begins_like_the_last() {
        let longer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: y\r\n\r\nabc";
        let larger = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd";
        let text = [ONE, longer, larger, ONE].concat();
        assert_eq!(take(&text, usize::MAX, 4), Ok((4, 13)));
    }

    #[test]
    fn what_is_not_counted_as_a_response() {
        for (text, failure) in [
            (
                &b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"[..],
                Failure::Status,
            ),
            (b"HTTP/1.1 304 Not Modified\r\n\r\n", Failure::Status),
            (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Failure::Status),
            (b"HTTP/1.1 200 OK\r\n\r\n", Failure::Malformed),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
                Failure::Malformed,
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
                Failure::Malformed,
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
                Failure::Malformed,
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
                Failure::Malformed,
            ),
            (
                b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                Failure::Malformed,
            ),
            (b"220 mail.example.org ESMTP\r\n\r\n", Failure::Malformed),
        ] {
            let shown = String::from_utf8_lossy(text);
            assert_eq!(take(text, usize::MAX, 1), Err(failure), "{shown:?}");
        }
        let endless = [b"HTTP/1.1 200 OK\r\nX: ", &*vec![b'x'; MAX_HEAD + 1]].concat();
        assert_eq!(take(&endless, 1000, 1), Err(Failure::Malformed));
    }
}
