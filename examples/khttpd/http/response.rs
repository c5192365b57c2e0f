// SPDX-License-Identifier: GPL-2.0

//! The head of a response.

use super::{
    conditions::Tag,
    date,
    html,
    media,
    status::Status, //
};
use core::ops::Range;

/// The length of the longest head, a [`Location`](write_location) apart.
pub const MAX_HEAD: usize = 640;

/// What is to be told to a client, apart from the content itself.
#[derive(Debug)]
pub struct Reply<C> {
    /// The status.
    pub status: Status,
    /// The content, or what there is of it in this part; with [`Status::MOVED_PERMANENTLY`], what
    /// [`write_location`] writes.
    pub content: Option<C>,
    /// How many bytes that is.
    pub length: u64,
    /// The media type of it.
    pub media: &'static str,
    /// The entity tag.
    pub tag: Option<Tag>,
    /// When it was last changed, in seconds since 1970.
    pub modified: Option<i64>,
    /// Which part of how much it is; nothing of it with [`Status::RANGE_NOT_SATISFIABLE`].
    pub part: Option<(Range<u64>, u64)>,
    /// Whether parts of it can be had.
    pub accepts_ranges: bool,
    /// Whether it will be another one the next time.
    pub is_fleeting: bool,
}

impl<C> Reply<C> {
    /// One with a status and nothing else.
    pub fn of(status: Status) -> Self {
        Self {
            status,
            content: None,
            length: 0,
            media: "",
            tag: None,
            modified: None,
            part: None,
            accepts_ranges: false,
            is_fleeting: false,
        }
    }
}

/// Hands the end of a head to `write` in pieces, which says that what was asked for is the directory at
/// `path`. The query stays: a client that follows it asks for the same.
pub fn write_location<E>(
    path: &[u8],
    query: &[u8],
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    write(b"Location: /")?;
    html::encode(path, &mut write)?;
    // Two slashes would name another server.
    if !path.is_empty() {
        write(b"/")?;
    }
    html::encode_query(query, &mut write)?;
    write(b"\r\n\r\n")
}

/// What the connection does after a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Persistence {
    /// It stays open.
    Keep,
    /// It stays open, which a client of HTTP/1.0 has to be told.
    KeepHttp10,
    /// It is closed.
    Close,
}

/// The first lines of a response whose status is 200, made once a second.
#[derive(Debug)]
pub struct Start {
    text: [u8; Self::TEMPLATE.len()],
    /// The time that it tells.
    time: Option<i64>,
}

impl Start {
    const TEMPLATE: &'static [u8; 70] =
        b"HTTP/1.1 200 OK\r\nServer: khttpd\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    /// Where in it the date begins.
    const DATE: usize = 39;

    /// For any time.
    pub const fn new() -> Self {
        Self {
            text: *Self::TEMPLATE,
            time: None,
        }
    }

    /// The lines at `now`, in seconds since 1970.
    pub fn at(&mut self, now: i64) -> &[u8] {
        if self.time != Some(now) {
            self.time = Some(now);
            self.text[Self::DATE..][..date::LENGTH].copy_from_slice(&date::format(now));
        }
        &self.text
    }
}

impl Default for Start {
    fn default() -> Self {
        Self::new()
    }
}

/// The text of a head.
pub struct Head {
    bytes: [u8; MAX_HEAD],
    length: usize,
}

impl Head {
    /// The head for `reply`, up to the empty line; `now` is the time in seconds since 1970.
    pub fn new<C>(reply: &Reply<C>, persistence: Persistence, now: i64) -> Self {
        let mut head = Self::empty();
        let status = reply.status;
        head.push(b"HTTP/1.1 ");
        head.number(status.code.into());
        head.push(b" ");
        head.push(status.reason.as_bytes());
        head.push(b"\r\nServer: khttpd\r\nDate: ");
        head.push(&date::format(now));
        head.push(b"\r\n");
        match persistence {
            Persistence::Keep => {}
            Persistence::KeepHttp10 => head.push(b"Connection: keep-alive\r\n"),
            Persistence::Close => head.push(b"Connection: close\r\n"),
        }
        head.rest(reply, now);
        head
    }

    /// The rest of a head behind [`Start`], for a connection that stays open, and the empty line.
    /// The content was changed before every date at which this is sent.
    pub fn behind_start<C>(reply: &Reply<C>) -> Self {
        let mut head = Self::empty();
        head.rest(reply, i64::MAX);
        head.push(b"\r\n");
        head
    }

    fn empty() -> Self {
        Self {
            bytes: [0; MAX_HEAD],
            length: 0,
        }
    }

    /// What depends on the reply alone.
    fn rest<C>(&mut self, reply: &Reply<C>, now: i64) {
        let status = reply.status;
        if !status.is_without_content() {
            self.push(b"Content-Length: ");
            self.number(reply.length);
            self.push(b"\r\n");
            if !reply.media.is_empty() {
                // A player that is not told a type looks at the content: it may.
                if reply.media != media::UNKNOWN {
                    self.push(b"X-Content-Type-Options: nosniff\r\n");
                }
                self.push(b"Content-Type: ");
                self.push(reply.media.as_bytes());
                self.push(b"\r\n");
            }
        }
        if status == Status::METHOD_NOT_ALLOWED || status == Status::NO_CONTENT {
            self.push(b"Allow: GET, HEAD, OPTIONS\r\n");
        }
        if reply.is_fleeting {
            self.push(b"Cache-Control: no-store\r\n");
        }
        if reply.accepts_ranges {
            self.push(b"Accept-Ranges: bytes\r\n");
        }
        self.validators(reply, now);
        self.part(reply);
    }

    fn validators<C>(&mut self, reply: &Reply<C>, now: i64) {
        if let Some(tag) = &reply.tag {
            self.push(b"ETag: ");
            self.push(tag.as_bytes());
            self.push(b"\r\n");
        }
        if let Some(modified) = reply.modified {
            self.push(b"Last-Modified: ");
            // Never later than the date (RFC 9110, section 8.8.2.1)
            self.push(&date::format(modified.min(now)));
            self.push(b"\r\n");
        }
    }

    fn part<C>(&mut self, reply: &Reply<C>) {
        let Some((range, size)) = &reply.part else {
            return;
        };
        self.push(b"Content-Range: bytes ");
        if range.is_empty() {
            self.push(b"*");
        } else {
            self.number(range.start);
            self.push(b"-");
            self.number(range.end - 1);
        }
        self.push(b"/");
        self.number(*size);
        self.push(b"\r\n");
    }

    fn push(&mut self, text: &[u8]) {
        // `MAX_HEAD` is enough for all that is pushed here; a test counts.
        if let Some(place) = self.bytes.get_mut(self.length..self.length + text.len()) {
            place.copy_from_slice(text);
            self.length += text.len();
        }
    }

    fn number(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push(&digits[start..]);
    }

    /// The text, without the empty line at the end.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(reply: &Reply<()>, persistence: Persistence) -> String {
        let head = Head::new(reply, persistence, 784_111_777);
        String::from_utf8(head.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_file() {
        let reply = Reply {
            length: 10,
            media: "text/plain",
            tag: Some(Tag::new(0, 0, 10)),
            modified: Some(0),
            accepts_ranges: true,
            ..Reply::of(Status::OK)
        };
        assert_eq!(
            text(&reply, Persistence::Keep),
            "HTTP/1.1 200 OK\r\nServer: khttpd\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
             Content-Length: 10\r\nX-Content-Type-Options: nosniff\r\nContent-Type: text/plain\r\n\
             Accept-Ranges: bytes\r\nETag: \"0.0-a\"\r\n\
             Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
        );
    }

    #[test]
    fn a_type_is_not_to_be_guessed_unless_it_is_unknown() {
        for (media, is_told) in [("text/plain", true), (media::UNKNOWN, false)] {
            let reply = Reply {
                media,
                ..Reply::of(Status::OK)
            };
            let text = text(&reply, Persistence::Keep);
            assert!(text.contains(&format!("\r\nContent-Type: {media}\r\n")));
            assert_eq!(text.contains("nosniff"), is_told, "{media}");
        }
    }

    #[test]
    fn a_head_in_two_parts_is_the_same() {
        let reply: Reply<()> = Reply {
            length: 10,
            media: "text/plain",
            tag: Some(Tag::new(0, 0, 10)),
            modified: Some(0),
            accepts_ranges: true,
            ..Reply::of(Status::OK)
        };
        let mut start = Start::new();
        for now in [784_111_777, 784_111_777, 0, 1_000_000_000, i64::MAX] {
            let whole = Head::new(&reply, Persistence::Keep, now);
            let rest = Head::behind_start(&reply);
            let parts = [start.at(now), rest.as_bytes()].concat();
            assert_eq!(parts, [whole.as_bytes(), b"\r\n"].concat());
        }
    }

    #[test]
    fn a_change_is_never_later_than_the_date() {
        for (modified, told) in [
            (784_111_776, "Sun, 06 Nov 1994 08:49:36 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (784_111_778, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (i64::MAX, "Sun, 06 Nov 1994 08:49:37 GMT"),
        ] {
            let reply = Reply {
                modified: Some(modified),
                ..Reply::of(Status::OK)
            };
            let text = text(&reply, Persistence::Keep);
            assert!(
                text.ends_with(&format!("\r\nLast-Modified: {told}\r\n")),
                "{text}"
            );
        }
    }

    #[test]
    fn no_content() {
        let text = text(&Reply::of(Status::NOT_MODIFIED), Persistence::Close);
        assert!(!text.contains("Content"));
        assert!(text.contains("\r\nConnection: close\r\n"));
    }

    #[test]
    fn parts() {
        let part = |range, status| Reply {
            part: Some((range, u64::MAX)),
            ..Reply::of(status)
        };
        assert!(
            text(&part(1..4, Status::PARTIAL_CONTENT), Persistence::Keep)
                .contains("\r\nContent-Range: bytes 1-3/18446744073709551615\r\n")
        );
        assert!(text(
            &part(0..0, Status::RANGE_NOT_SATISFIABLE),
            Persistence::Keep
        )
        .contains("\r\nContent-Range: bytes */18446744073709551615\r\n"));
    }

    #[test]
    fn the_longest_fits() {
        let reply = Reply {
            length: u64::MAX,
            media: media::tests::longest(),
            tag: Some(Tag::new(-1, u32::MAX, u64::MAX).with(&[0])),
            modified: Some(0),
            part: Some((u64::MAX - 2..u64::MAX, u64::MAX)),
            accepts_ranges: true,
            is_fleeting: true,
            ..Reply::of(Status::METHOD_NOT_ALLOWED)
        };
        let text = text(&reply, Persistence::KeepHttp10);
        assert!(text.ends_with("-18446744073709551614/18446744073709551615\r\n"));
        assert!(text.len() < MAX_HEAD, "{}", text.len());
    }
}
