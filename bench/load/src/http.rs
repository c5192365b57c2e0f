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
    /// Bytes of content that are still to come; `UNTIL_CLOSE`, if the end of the stream ends it.
    content: u64,
    /// The start of a head, the rest of which is still to come.
    head: Vec<u8>,
    /// The response at hand is the last of its connection.
    is_last: bool,
    /// That response is complete.
    is_over: bool,
}

/// The length of a content that ends with its connection (RFC 9112, 6.3).
const UNTIL_CLOSE: u64 = u64::MAX;

/// What a head says about what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    Final(Final),
    /// Another head.
    Interim,
}

/// A response that is not an interim one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Final {
    /// Bytes of content, or `UNTIL_CLOSE`.
    content: u64,
    /// The server closes after it (RFC 9112, 9.3).
    is_last: bool,
}

impl Place {
    /// Returns true if the server has said that it answers nothing more.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Returns true if no part of a response has come that is not complete.
    pub fn is_between(&self) -> bool {
        self.content == 0 && self.head.is_empty()
    }

    fn begin(&mut self, response: Final) {
        self.content = response.content;
        self.is_last = response.is_last;
    }

    /// Takes `count` bytes of content; returns the number of responses that they complete.
    fn advance(&mut self, count: u64) -> u64 {
        if self.content == UNTIL_CLOSE {
            return 0;
        }
        self.content -= count;
        let is_complete = self.content == 0;
        self.is_over = is_complete && self.is_last;
        u64::from(is_complete)
    }
}

/// Takes responses apart, of many connections.
///
/// A server says the same head again and again, until its clock is a second further. So the last
/// one is kept, and one that is the same byte by byte is not parsed: it means the same.
#[derive(Default)]
pub struct Reader {
    last: Vec<u8>,
    last_response: Final,
    /// Responses, and the bytes of their contents.
    responses: u64,
    bytes: u64,
}

impl Reader {
    /// Takes what has come; says how many responses are complete with it. More than `most` must
    /// not come.
    pub fn take(&mut self, place: &mut Place, mut bytes: &[u8], most: u64) -> Result<u64, Failure> {
        let mut complete = 0;
        // What follows the last response has no meaning.
        while !bytes.is_empty() && !place.is_over {
            if place.content == 0 {
                if complete == most {
                    return Err(Failure::Surplus);
                }
                match self.head(place, &mut bytes)? {
                    None => break,
                    Some(Head::Interim) => continue,
                    Some(Head::Final(response)) => place.begin(response),
                }
            }
            let part = place.content.min(bytes.len() as u64);
            bytes = &bytes[part as usize..];
            self.bytes += part;
            complete += place.advance(part);
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
                    return Ok(Some(Head::Final(self.last_response)));
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
        if let Head::Final(response) = head {
            self.last.clear();
            self.last.extend_from_slice(&place.head[..length]);
            self.last_response = response;
        }
        place.head.clear();
        Ok(Some(head))
    }

    /// How much to read at once, and whether to discard it unseen.
    pub fn wanted(&self, place: &Place) -> (usize, bool) {
        if place.content >= LARGE {
            (usize::try_from(place.content).unwrap_or(usize::MAX), true)
        } else if place.content == 0 && self.last_response.content >= LARGE {
            (HEAD_AND_LITTLE, false)
        } else {
            (usize::MAX, false)
        }
    }

    /// So many bytes of a content have come and were discarded; says how many responses are complete
    /// with them.
    pub fn skip(&mut self, place: &mut Place, count: u64) -> u64 {
        self.bytes += count;
        let complete = place.advance(count);
        self.responses += complete;
        complete
    }

    /// The stream has ended; says how many responses are complete with that.
    pub fn end(&mut self, place: &mut Place) -> u64 {
        if place.content != UNTIL_CLOSE {
            return 0;
        }
        place.content = 0;
        place.is_over = true;
        self.responses += 1;
        1
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
        Some(200) => {
            let content = content_length(response.headers)?;
            let is_persistent = is_persistent(response.version, response.headers);
            Head::Final(Final {
                content,
                is_last: content == UNTIL_CLOSE || !is_persistent,
            })
        }
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
    Ok(length.unwrap_or(UNTIL_CLOSE))
}

/// Returns true if the connection stays open after the response (RFC 9112, 9.3). `version` is the
/// minor one.
fn is_persistent(version: Option<u8>, fields: &[httparse::Header<'_>]) -> bool {
    let (mut close, mut keep_alive) = (false, false);
    let lists = fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("connection"));
    for option in lists.flat_map(|field| field.value.split(|byte| *byte == b',')) {
        let option = option.trim_ascii();
        close |= option.eq_ignore_ascii_case(b"close");
        keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
    }
    !close && (keep_alive || version != Some(0))
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
    fn last_response_of_a_connection_is_known() {
        for (head, is_last) in [
            ("HTTP/1.1 200 OK\r\n", false),
            ("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n", false),
            ("HTTP/1.1 200 OK\r\nConnection: close\r\n", true),
            ("HTTP/1.1 200 OK\r\nconnection:CLOSE\r\n", true),
            ("HTTP/1.1 200 OK\r\nConnection: x-y, , close\r\n", true),
            (
                "HTTP/1.1 200 OK\r\nConnection: x\r\nConnection: close\r\n",
                true,
            ),
            ("HTTP/1.1 200 OK\r\nConnection: closed\r\n", false),
            ("HTTP/1.1 200 OK\r\nX-Connection: close\r\n", false),
            ("HTTP/1.0 200 OK\r\n", true),
            ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", false),
            ("HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\n", true),
        ] {
            let text = format!("{head}Content-Length: 3\r\n\r\nabc");
            for size in 1..=text.len() {
                let (mut reader, mut place) = (Reader::default(), Place::default());
                let pieces = text.as_bytes().chunks(size);
                let complete = pieces.map(|piece| reader.take(&mut place, piece, 1));
                assert_eq!(complete.map(|n| n.unwrap_or(9)).sum::<u64>(), 1, "{head}");
                assert_eq!(place.is_over(), is_last, "{head} in pieces of {size}");
                assert!(place.is_between());
                let more = reader.take(&mut place, b"x", 0);
                assert_eq!(more.is_ok(), is_last, "{head}");
            }
        }
    }

    #[test]
    fn content_without_length_ends_with_the_stream() {
        for head in [
            "HTTP/1.0 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nServer: x\r\n\r\n",
        ] {
            let (mut reader, mut place) = (Reader::default(), Place::default());
            let text = format!("{head}abc");
            assert_eq!(reader.take(&mut place, text.as_bytes(), 1), Ok(0));
            assert_eq!(reader.wanted(&place), (usize::MAX, true));
            assert_eq!(reader.skip(&mut place, 7), 0);
            assert!(!place.is_over() && !place.is_between());
            assert_eq!(reader.end(&mut place), 1);
            assert!(place.is_over());
            assert_eq!(reader.totals(), (1, 10));
        }
        let (mut reader, mut place) = (Reader::default(), Place::default());
        assert_eq!(reader.take(&mut place, &ONE[..ONE.len() - 1], 1), Ok(0));
        assert_eq!(reader.end(&mut place), 0);
        assert!(!place.is_between());
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
