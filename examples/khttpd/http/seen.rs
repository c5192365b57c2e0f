// SPDX-License-Identifier: GPL-2.0

//! The requests in what a client sends, for comparison with what others see there.

use super::{
    body::{
        Framing,
        Receiver, //
    },
    check::LIMITS,
    request::{
        self,
        Target, //
    }, //
};

/// A request as it is seen by one who receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its method.
    pub method: String,
    /// The path of its target.
    pub target: String,
    /// Its content.
    pub content: Content,
}

/// The content of a request, as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// It is there, so many bytes without those that frame it.
    Complete(u64),
    /// It is not there yet.
    Partial,
    /// It is no content, or more than is allowed.
    Refused,
}

/// The requests in `said`, up to the first that ends the connection.
pub fn requests(said: &[u8]) -> Vec<Seen> {
    let mut all = Vec::new();
    let mut rest = said;
    loop {
        rest = &rest[request::leading_empty_lines(rest)..];
        let Ok(Some((request, length))) = request::parse(rest) else {
            return all;
        };
        let method = rest.split(|&byte| byte == b' ').next().unwrap_or_default();
        let target = match request.target {
            Target::Server => "*".as_bytes(),
            Target::Path(path) => path,
        };
        rest = &rest[length..];
        let (content, count) = content(request.framing, rest);
        all.push(Seen {
            method: String::from_utf8_lossy(method).into_owned(),
            target: String::from_utf8_lossy(target).into_owned(),
            content,
        });
        if !request.keep_alive || !matches!(content, Content::Complete(_)) {
            return all;
        }
        rest = &rest[count..];
    }
}

/// The content at the start of `rest`, and how many bytes it takes with what frames it.
fn content(framing: Framing, rest: &[u8]) -> (Content, usize) {
    let Ok(mut receiver) = Receiver::new(framing, LIMITS.content) else {
        return (Content::Refused, 0);
    };
    match receiver.take(rest) {
        Ok((count, true)) => match framing {
            Framing::None => (Content::Complete(0), count),
            Framing::Fixed(length) => (Content::Complete(length), count),
            Framing::Chunked => {
                let received = LIMITS.content - receiver.allowed();
                (Content::Complete(received), count)
            }
        },
        Ok((count, false)) => (Content::Partial, count),
        Err(_) => (Content::Refused, 0),
    }
}
