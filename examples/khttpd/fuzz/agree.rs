// SPDX-License-Identifier: GPL-2.0

//! khttpd and hyper on the same bytes: where one request ends and the next begins.
//!
//! A server and a proxy before it that disagree on this see different requests, and one client's bytes
//! become another's request. hyper takes heads apart with `httparse`, as khttpd does; what frames a
//! content, and when it ends, is code of its own.

use http::{
    check,
    seen::{self, Content, Seen},
};
use http_body_util::{BodyExt, Empty};
use hyper::{
    body::{Bytes, Incoming},
    rt::{Read, ReadBufCursor, Write},
    server::conn::http1,
    service::service_fn,
    Request, Response,
};
use std::{
    cell::RefCell,
    convert::Infallible,
    future::Future,
    io,
    pin::Pin,
    rc::Rc,
    sync::{
        atomic::{AtomicBool, Ordering},
        Arc,
    },
    task::{Context, Poll, Wake, Waker},
};

/// Checks what [`check::check`] does, and that both see the same requests as far as both go on.
pub fn check(data: &[u8]) {
    check::check(data);
    let [_, _, said @ ..] = data else {
        return;
    };
    compare(&seen::requests(said), &hyper_requests(said));
}

/// Panics where two see different requests. Where one goes on and the other does not, it is the other's
/// right to be strict.
fn compare(ours: &[Seen], theirs: &[Seen]) {
    for (number, (one, other)) in ours.iter().zip(theirs).enumerate() {
        assert_eq!(one.method, other.method, "of request {number}");
        // hyper writes other forms anew.
        if one.target.starts_with('/') {
            assert_eq!(one.target, other.target, "of request {number}");
        }
        match (one.content, other.content) {
            (Content::Complete(one), Content::Complete(other)) => {
                assert_eq!(one, other, "bytes of content of request {number}");
            }
            // One of them refuses it, and the connection.
            (Content::Refused, _) | (_, Content::Refused) => return,
            (one, other) => assert_eq!(one, other, "of request {number}"),
        }
    }
}

/// Bytes that a client has sent, and no more.
struct Client<'a> {
    rest: &'a [u8],
}

impl Read for Client<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // It waits for its answers and does not close.
        if self.rest.is_empty() {
            return Poll::Pending;
        }
        let (now, later) = self.rest.split_at(self.rest.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.rest = later;
        Poll::Ready(Ok(()))
    }
}

impl Write for Client<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Notes that the connection is to be polled again.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The requests that hyper sees.
fn hyper_requests(said: &[u8]) -> Vec<Seen> {
    let all = Rc::new(RefCell::new(Vec::new()));
    let service = service_fn(|request| {
        let all = all.clone();
        async move {
            receive(request, &all).await;
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    {
        let connection = http1::Builder::new()
            .header_read_timeout(None)
            // As many as khttpd takes, so that none is refused for these alone.
            .max_headers(http::request::MAX_FIELDS)
            .serve_connection(Client { rest: said }, service);
        let mut connection = std::pin::pin!(connection);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        loop {
            let poll = connection.as_mut().poll(&mut Context::from_waker(&waker));
            if poll.is_ready() || !woken.0.swap(false, Ordering::Relaxed) {
                break;
            }
        }
    }
    Rc::into_inner(all)
        .expect("the connection is gone")
        .into_inner()
}

/// Notes a request, and its content when that has come to its end.
async fn receive(request: Request<Incoming>, all: &RefCell<Vec<Seen>>) {
    let (head, mut content) = request.into_parts();
    let number = all.borrow().len();
    all.borrow_mut().push(Seen {
        method: head.method.to_string(),
        target: head.uri.path().to_owned(),
        content: Content::Partial,
    });
    let mut count = 0;
    let end = loop {
        match content.frame().await {
            None => break Content::Complete(count),
            Some(Ok(frame)) => count += frame.data_ref().map_or(0, |data| data.len() as u64),
            Some(Err(_)) => break Content::Refused,
        }
    };
    all.borrow_mut()[number].content = end;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete(said: &str) -> Vec<(String, String, u64)> {
        let (ours, theirs) = (
            seen::requests(said.as_bytes()),
            hyper_requests(said.as_bytes()),
        );
        assert_eq!(ours, theirs, "{said:?}");
        let of = |seen: Seen| match seen.content {
            Content::Complete(count) => (seen.method, seen.target, count),
            other => panic!("{other:?}"),
        };
        ours.into_iter().map(of).collect()
    }

    #[test]
    fn both_see_the_same_requests() {
        let said = "GET /a?q HTTP/1.1\r\nHost: h\r\n\r\n\
            POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n12345\
            PUT /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
            3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nT: v\r\n\r\n\
            \r\nHEAD /d HTTP/1.1\r\nHost: h\r\n\r\n";
        let expected = [
            ("GET", "/a", 0),
            ("POST", "/b", 5),
            ("PUT", "/c", 13),
            ("HEAD", "/d", 0),
        ];
        let expected =
            expected.map(|(method, target, count)| (method.into(), target.into(), count));
        assert_eq!(complete(said), expected);
    }

    #[test]
    fn a_content_that_is_not_complete_is_seen() {
        for said in [
            "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n1234",
            "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n1234",
        ] {
            let (ours, theirs) = (
                seen::requests(said.as_bytes()),
                hyper_requests(said.as_bytes()),
            );
            assert_eq!(ours, theirs);
            assert_eq!(ours[0].content, Content::Partial);
        }
    }

    #[test]
    #[should_panic(expected = "of request 1")]
    fn another_view_is_found() {
        // As if khttpd had taken a content for a request.
        let ours =
            seen::requests(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /x HTTP/1.1\r\nHost: h\r\n\r\n");
        let theirs =
            hyper_requests(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /y HTTP/1.1\r\nHost: h\r\n\r\n");
        compare(&ours, &theirs);
    }

    #[test]
    fn what_fuzzing_has_found_interesting() {
        let package = std::env::var("CARGO_MANIFEST_DIR").unwrap();
        let corpus = std::fs::read_to_string(format!("{package}/corpus.txt")).unwrap();
        for line in corpus.lines() {
            check(&check::unescaped(line));
        }
        assert!(corpus.lines().count() > 100);
    }
}
