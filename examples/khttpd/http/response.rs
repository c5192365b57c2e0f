// SPDX-License-Identifier: GPL-2.0

//! The head of a response.

use super::{
    conditions::Tag,
    date,
    status::Status, //
};
use core::ops::Range;

/// What a head is at most long, a `Location` apart.
pub const MAX_HEAD: usize = 512;

/// What is to be told to a client, apart from the content itself.
#[derive(Debug)]
pub struct Reply<C> {
    /// The status.
    pub status: Status,
    /// The content, or what there is of it in this part.
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

/// The text of a head.
pub struct Head {
    bytes: [u8; MAX_HEAD],
    length: usize,
}

impl Head {
    /// The head for `reply`, up to the empty line; `now` is the time in seconds since 1970.
    pub fn new<C>(reply: &Reply<C>, persistence: Persistence, now: i64) -> Self {
        let mut head = Self {
            bytes: [0; MAX_HEAD],
            length: 0,
        };
        let status = reply.status;
        head.push(b"HTTP/1.1 ");
        head.number(status.code.into());
        head.push(b" ");
        head.push(status.reason.as_bytes());
        head.push(b"\r\nServer: khttpd\r\nDate: ");
        head.push(&date::format(now));
        match persistence {
            Persistence::Keep => {}
            Persistence::KeepHttp10 => head.push(b"\r\nConnection: keep-alive"),
            Persistence::Close => head.push(b"\r\nConnection: close"),
        }
        if !status.is_without_content() {
            head.push(b"\r\nContent-Length: ");
            head.number(reply.length);
            if !reply.media.is_empty() {
                head.push(b"\r\nX-Content-Type-Options: nosniff\r\nContent-Type: ");
                head.push(reply.media.as_bytes());
            }
        }
        if status == Status::METHOD_NOT_ALLOWED || status == Status::NO_CONTENT {
            head.push(b"\r\nAllow: GET, HEAD, OPTIONS");
        }
        if reply.is_fleeting {
            head.push(b"\r\nCache-Control: no-store");
        }
        if reply.accepts_ranges {
            head.push(b"\r\nAccept-Ranges: bytes");
        }
        head.validators(reply);
        head.part(reply);
        head.push(b"\r\n");
        head
    }

    fn validators<C>(&mut self, reply: &Reply<C>) {
        if let Some(tag) = &reply.tag {
            self.push(b"\r\nETag: ");
            self.push(tag.as_bytes());
        }
        if let Some(modified) = reply.modified {
            self.push(b"\r\nLast-Modified: ");
            self.push(&date::format(modified));
        }
    }

    fn part<C>(&mut self, reply: &Reply<C>) {
        let Some((range, size)) = &reply.part else {
            return;
        };
        self.push(b"\r\nContent-Range: bytes ");
        if range.is_empty() {
            self.push(b"*");
        } else {
            self.number(range.start);
            self.push(b"-");
            self.number(range.end - 1);
        }
        self.push(b"/");
        self.number(*size);
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
            media: "text/javascript; charset=utf-8",
            tag: Some(Tag::new(-1, u32::MAX, u64::MAX)),
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
