// SPDX-License-Identifier: GPL-2.0

//! What a client gets for what it sends.

use super::{
    check::{self, responses, OneFile},
    conversation::Step,
    request::{self, Method},
};
use std::cell::Cell;

mod corpus;
mod head;
mod lists;
mod slow;

/// What comes back, as text; the same wherever it is answered.
fn talk(said: &[u8], piece: usize, room: usize) -> (String, Step) {
    let (text, step) = check::talk(said, piece, room, false);
    let tried = check::talk(said, piece, room, true);
    assert_eq!(tried, (text.clone(), step));
    (String::from_utf8(text).unwrap(), step)
}

/// The statuses and contents of the responses; it is the same in however small pieces.
fn ask(said: &str) -> (Vec<(u16, String)>, Step) {
    let whole = talk(said.as_bytes(), usize::MAX, 100_000);
    for (piece, room) in [(1, 5000), (2, 4096), (7, 5000), (1000, 3800)] {
        assert_eq!(
            talk(said.as_bytes(), piece, room),
            whole,
            "in pieces of {piece}"
        );
    }
    (responses(whole.0.as_bytes()), whole.1)
}

fn statuses(said: &str) -> (Vec<u16>, Step) {
    let (responses, step) = ask(said);
    (responses.into_iter().map(|(code, _)| code).collect(), step)
}

const GET: &str = "GET /file HTTP/1.1\r\nHost: h\r\n\r\n";

/// The request with one more field.
fn with(field: &str) -> String {
    GET.replace("\r\n\r\n", &format!("\r\n{field}\r\n\r\n"))
}

#[test]
fn one_request_after_the_other() {
    let (responses, step) = ask(&GET.repeat(3));
    assert_eq!(responses, vec![(200, "0123456789".to_owned()); 3]);
    assert_eq!(step, Step::Wait);
}

#[test]
fn empty_lines_before_a_request() {
    assert_eq!(
        statuses(&format!("\r\n\r\n{GET}\r\n{GET}")),
        (vec![200, 200], Step::Wait)
    );
    assert_eq!(statuses(&format!("\n{GET}")), (vec![400], Step::Close));
}

#[test]
fn persistence() {
    let next = "GET /none HTTP/1.1\r\nHost: h\r\n\r\n";
    let both = |first: &str| statuses(&format!("{first}{next}"));
    assert_eq!(both(&with("Connection: close")), (vec![200], Step::Close));
    assert_eq!(
        both(&with("Connection: x, CLOSE")),
        (vec![200], Step::Close)
    );
    assert_eq!(
        both(&with("Connection: keep-alive")),
        (vec![200, 404], Step::Wait)
    );
    assert_eq!(both("GET /file HTTP/1.0\r\n\r\n"), (vec![200], Step::Close));
    let kept = "GET /file HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    assert_eq!(both(kept), (vec![200, 404], Step::Wait));
    assert!(talk(kept.as_bytes(), 100, 5000)
        .0
        .contains("\r\nConnection: keep-alive\r\n"));
}

#[test]
fn methods() {
    for (method, status) in [
        ("GET", 200),
        ("OPTIONS", 200),
        ("POST", 405),
        ("PUT", 405),
        ("DELETE", 405),
        ("PATCH", 405),
        ("TRACE", 405),
        ("get", 501),
        ("BREW", 501),
    ] {
        let said = GET.replace("GET", method) + GET;
        assert_eq!(statuses(&said), (vec![status, 200], Step::Wait), "{method}");
    }
    assert_eq!(
        statuses("OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"),
        (vec![204], Step::Wait)
    );
    assert_eq!(
        statuses("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n"),
        (vec![405], Step::Wait)
    );
    let head = talk(GET.replace("GET", "HEAD").as_bytes(), 100, 5000).0;
    let get = talk(GET.as_bytes(), 100, 5000).0;
    assert_eq!(format!("{head}0123456789"), get);
    let none = talk(b"HEAD /none HTTP/1.1\r\nHost: h\r\n\r\n", 100, 5000).0;
    assert!(none.contains("Content-Length: 14\r\n") && none.ends_with("\r\n\r\n"));
}

#[test]
fn targets() {
    for (target, status) in [
        ("/file?a=b?c/../", 200),
        ("/x/../file", 200),
        ("http://host/file", 200),
        ("HTTPS://host:1/file?q", 200),
        ("http://host", 404),
        ("http://host?q=/", 404),
        ("http://[::1]:80/file", 200),
        ("http://host:/file", 200),
        ("http://:80/file", 400),
        ("http://host:80:80/file", 400),
        ("http://host:port/file", 400),
        ("http://[::1/file", 400),
        ("http://::1/file", 400),
        ("http://h%zz/file", 400),
        ("http://?q", 400),
        ("/folder", 301),
        ("/../file", 400),
        ("/%00", 400),
        ("file", 400),
        ("*", 400),
        ("*?", 400),
        ("http:///file", 400),
        ("http://user@host/file", 400),
        ("ftp://host/file", 400),
        ("/file#part", 400),
    ] {
        let (codes, _) = statuses(&GET.replace("/file", target));
        assert_eq!(codes, [status], "{target}");
    }
}

#[test]
fn redirects() {
    let query = "?a=b/c?d&e=%2F[]";
    let long = format!("?{}", "\u{fc}".repeat(3500));
    let encoded = format!("?{}", "%C3%BC".repeat(3500));
    for (target, location) in [
        ("/folder", "/folder/"),
        ("/folder?", "/folder/?"),
        (&*format!("/folder{query}"), &*format!("/folder/{query}")),
        (
            &format!("http://h/folder{query}"),
            &format!("/folder/{query}"),
        ),
        (&format!("/folder{long}"), &format!("/folder/{encoded}")),
        ("/folder%2F", "/folder/"),
        ("/%2Ffolder/?q", "/folder/?q"),
        ("/folder/.", "/folder/"),
        ("//x/..//folder", "/folder/"),
    ] {
        for method in ["GET", "HEAD"] {
            let said = GET.replace("/file", target).replace("GET", method) + GET;
            let (text, step) = talk(said.as_bytes(), 1000, 5000);
            assert_eq!(step, Step::Wait);
            let (moved, next) = text.split_once("\r\n\r\n").unwrap();
            assert!(moved.starts_with("HTTP/1.1 301 Moved Permanently\r\n"));
            assert!(moved.contains("\r\nContent-Length: 0\r\n"));
            assert!(
                moved.ends_with(&format!("\r\nLocation: {location}")),
                "{moved}"
            );
            assert_eq!(responses(next.as_bytes())[0].0, 200, "{target}");
        }
    }
    for target in ["/folder/", "/folder/?q", "/folder//", "/./folder/"] {
        let said = GET.replace("/file", target);
        assert_eq!(statuses(&said).0, [200], "{target}");
    }
}

#[test]
fn a_later_minor_version_is_read_as_the_last_known() {
    for version in ["1.2", "1.9"] {
        let said = |text: &str| text.replace("1.1", version);
        let chunked = with("Transfer-Encoding: chunked") + "1\r\nx\r\n0\r\n\r\n";
        let both = said(GET) + &said(&chunked) + GET;
        assert_eq!(statuses(&both), (vec![200; 3], Step::Wait), "{version}");
        assert_eq!(
            talk(said(GET).as_bytes(), 9, 5000),
            talk(GET.as_bytes(), 9, 5000)
        );
        let closed = said(&with("Connection: close"));
        assert_eq!(statuses(&closed), (vec![200], Step::Close), "{version}");
        let many = said(&with(&vec!["A: b"; request::MAX_FIELDS].join("\r\n")));
        assert_eq!(statuses(&many), (vec![431], Step::Close), "{version}");
        let long = said(&with(&format!("A: {}", "b".repeat(request::MAX_HEAD))));
        assert_eq!(statuses(&long), (vec![431], Step::Close), "{version}");
    }
}

#[test]
fn hosts() {
    for host in ["h", "", "h:", "h:80", "[::1]:80", "%7Eh", "127.0.0.1"] {
        let said = GET.replace("Host: h", &format!("Host: {host}"));
        assert_eq!(statuses(&said), (vec![200], Step::Wait), "{host}");
    }
}

#[test]
fn what_is_no_request() {
    for (said, status) in [
        ("GET /file\r\n\r\n", 400),
        ("GET  /file HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /file HTTP/1.1 \r\nHost: h\r\n\r\n", 400),
        ("GET /fi le HTTP/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /file HTTP/1.1\r\n\r\n", 400),
        ("GET /file HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400),
        ("GET /file HTTP/1.1\r\nHost: h/i\r\n\r\n", 400),
        ("GET /file HTTP/1.1\r\nHost: h:80:80\r\n\r\n", 400),
        ("GET /file HTTP/1.1\r\nHost: h:port\r\n\r\n", 400),
        ("GET /file HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
        ("GET /file HTTP/1.1\r\nHost: ::1\r\n\r\n", 400),
        ("GET /file HTTP/1.1\r\nHost: h%zz\r\n\r\n", 400),
        ("GET /file HTTP/1.1\r\nHost: :80\r\n\r\n", 400),
        ("GET /file HTTP/1.1\r\nHost: u@h\r\n\r\n", 400),
        ("GET /file HTTP/1.1\r\nHost: h, h\r\n\r\n", 400),
        ("GET /file HTTP/1.0\r\nHost: ::1\r\n\r\n", 400),
        // Before its host is ignored for that of the target
        ("GET http://h/file HTTP/1.1\r\nHost: ::1\r\n\r\n", 400),
        ("GET /file HTTP/1.1\r\nHost : h\r\n\r\n", 400),
        ("GET /file HTTP/1.1\r\nHost\r\n\r\n", 400),
        ("GET /file http/1.1\r\nHost: h\r\n\r\n", 400),
        ("GET /file HTTP/1.x\r\nHost: h\r\n\r\n", 400),
        ("GET /file HTTP/2.0\r\nHost: h\r\n\r\n", 505),
        ("GET /file HTTP/3.0\r\nHost: h\r\n\r\n", 505),
        ("GET /file HTTP/2.0x y z\r\nHost: h\r\n\r\n", 505),
        ("GET /file HTTP/1.2 x\r\nHost: h\r\n\r\n", 400),
        ("GET /file HTTP/1.2\r\n\r\n", 400),
        ("GET /file HTTP/1.2\nHost: h\n\n", 400),
        ("GET /file HTTP/1.2\r\nHost: h\n\r\n", 400),
        ("GET /file HTTP/1.2\r\nHost : h\r\n\r\n", 400),
        ("GET /file HTTP/1.2 \r\nHost: h\r\n\r\n", 400),
        ("GET  /file HTTP/1.2\r\nHost: h\r\n\r\n", 400),
        ("GET /file HTTP/1.10\r\nHost: h\r\n\r\n", 400),
        ("GET /file HTTP/1.\r\nHost: h\r\n\r\n", 400),
        ("GET /file HTTP/11\r\nHost: h\r\n\r\n", 400),
        ("GET /file HTTP/0.9\r\nHost: h\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("\x16\x03\x01\x02\0\x01\0\x01", 400),
        (" GET /file HTTP/1.1\r\nHost: h\r\n\r\n", 400),
    ] {
        assert_eq!(statuses(said), (vec![status], Step::Close), "{said:?}");
    }
}

#[test]
fn what_two_servers_could_read_in_two_ways() {
    let chunked = "Transfer-Encoding: chunked";
    let empty = "0\r\n\r\n";
    for (said, status) in [
        // Lengths that conflict
        (
            with("Content-Length: 5\r\nContent-Length: 6") + "123456",
            400,
        ),
        (
            with("Content-Length: 5\r\nContent-Length: 5") + "12345",
            400,
        ),
        (with("Content-Length: 5, 5") + "12345", 400),
        (
            with(&format!("Content-Length: 5\r\n{chunked}")) + empty,
            400,
        ),
        (
            with(&format!("{chunked}\r\nContent-Length: 5")) + empty,
            400,
        ),
        (with("Content-Length: +5") + "12345", 400),
        (with("Content-Length: -5") + "12345", 400),
        (with("Content-Length: 0x5") + "12345", 400),
        (with("Content-Length: 5a") + "12345", 400),
        (with("Content-Length: "), 400),
        (with("Content-Length: 99999999999999999999"), 413),
        // Codings in disguise
        (with(&format!("{chunked}\r\n{chunked}")) + empty, 400),
        (with(&format!("{chunked}, chunked")) + empty, 400),
        (with("Transfer-Encoding:") + empty, 400),
        (with("Transfer-Encoding: ,") + empty, 400),
        (with("Transfer-Encoding: \"chunked\"") + empty, 501),
        (with("Transfer-Encoding: chunked;a=b") + empty, 501),
        (
            with("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked") + empty,
            501,
        ),
        (
            with("Transfer-Encoding: chunked\r\nA: b\r\ntransfer-encoding: chunked") + empty,
            400,
        ),
        (with("Transfer-Encoding: \x0bchunked") + empty, 400),
        (with("Transfer-Encoding : chunked") + empty, 400),
        (with("Transfer-Encoding:\r\n chunked") + empty, 400),
        (with("Transfer-Encoding: xchunked") + empty, 501),
        (with("Transfer-Encoding: chunked, identity") + empty, 501),
        (with("Transfer-Encoding: gzip, chunked") + empty, 501),
        (with("Transfer-Encoding: identity") + empty, 501),
        (with(chunked).replace("1.1", "1.0") + empty, 400),
        // Lines that end or go on elsewhere
        (GET.replace("\r\n", "\n"), 400),
        (GET.replace("h\r\n", "h\n"), 400),
        (GET.replace("HTTP/1.1\r\n", "HTTP/1.1\n"), 400),
        (GET.replace("h\r\n\r\n", "h\r\n\n"), 400),
        (GET.replace("h\r\n", "h\r\r\n"), 400),
        (with("A: b\rc"), 400),
        (with("A: b\r\n c"), 400),
        (with("A: b\r\n\tc"), 400),
        (with(" A: b"), 400),
        (GET.replace("1\r\n", "1\r\n A: b\r\n"), 400),
        // NUL and its like
        (with("A: b\0c"), 400),
        (with("A\0: b"), 400),
        (GET.replace("/file", "/fi\0le"), 400),
        (with("A: \x7f"), 400),
        (with(": b"), 400),
        (with("\u{e4}: b"), 400),
    ] {
        assert_eq!(
            statuses(&(said.clone() + GET)),
            (vec![status], Step::Close),
            "{said:?}"
        );
    }
}

#[test]
fn contents() {
    let fixed = with("Content-Length: 5") + "12345";
    let chunked = with("Transfer-Encoding: Chunked") + "3;x=y\r\nabc\r\n0\r\nT: v\r\n\r\n";
    let post = fixed.replace("GET", "POST");
    assert_eq!(
        statuses(&(fixed + &chunked + &post + GET)),
        (vec![200, 200, 405, 200], Step::Wait)
    );
    assert_eq!(
        statuses(&with("Content-Length: 101")),
        (vec![413], Step::Close)
    );
    let large = with("Transfer-Encoding: chunked") + "65\r\n";
    assert_eq!(statuses(&large), (vec![413], Step::Close));
    let broken = with("Transfer-Encoding: chunked") + "3\r\nabcd";
    assert_eq!(statuses(&broken), (vec![400], Step::Close));
    assert_eq!(
        statuses(&(with("Content-Length: 5") + "1234")),
        (vec![], Step::Wait)
    );
}

#[test]
fn expectations() {
    let expect = with("Expect: 100-continue\r\nContent-Length: 5");
    let (text, step) = talk(expect.as_bytes(), 1000, 5000);
    assert_eq!(
        (&*text, step),
        ("HTTP/1.1 100 Continue\r\n\r\n", Step::Wait)
    );
    let (text, _) = talk((expect.clone() + "12345").as_bytes(), 1000, 5000);
    let rest = text.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap();
    assert_eq!(responses(rest.as_bytes()), [(200, "0123456789".to_owned())]);

    // The client may, or may not, send the content after this.
    let refused = expect.replace("/file", "/none");
    assert_eq!(statuses(&(refused + "12345")), (vec![404], Step::Close));
    let too_large = expect.replace(": 5", ": 500");
    assert_eq!(statuses(&too_large), (vec![413], Step::Close));
    assert_eq!(statuses(&with("Expect: tea")), (vec![417], Step::Close));
    let old = expect.replace("HTTP/1.1", "HTTP/1.0") + "12345";
    assert_eq!(statuses(&old), (vec![200], Step::Close));
}

#[test]
fn limits_of_a_head() {
    let line = |length: usize| GET.replace("/file", &format!("/{}", "a".repeat(length)));
    assert_eq!(statuses(&line(900)).0, [404]);
    // Within the line, and longer than any path.
    assert_eq!(statuses(&line(2000)).0, [414]);
    // RFC 9112 recommends to take 8000 octets.
    for (target, version) in [
        ("/file?", "1.1"),
        ("/file?", "1.2"),
        ("http://h/file?", "1.0"),
    ] {
        let rest = 8000 - "GET  HTTP/1.1".len() - target.len();
        let query = "q".repeat(rest);
        let said = GET.replace("/file", &format!("{target}{query}"));
        assert_eq!(
            statuses(&said.replace("1.1", version)).0,
            [200],
            "{version}"
        );
    }
    assert_eq!(statuses(&line(request::MAX_LINE)), (vec![414], Step::Close));
    assert_eq!(
        statuses(&"G".repeat(request::MAX_LINE)),
        (vec![414], Step::Close)
    );
    let fields = |count: usize| with(&vec!["A: b"; count].join("\r\n"));
    assert_eq!(statuses(&fields(request::MAX_FIELDS - 1)).0, [200]);
    assert_eq!(
        statuses(&fields(request::MAX_FIELDS)),
        (vec![431], Step::Close)
    );
    let long = with(&format!("A: {}", "b".repeat(request::MAX_HEAD)));
    assert_eq!(statuses(&long), (vec![431], Step::Close));
    let empty = "\r\n".repeat(request::MAX_HEAD);
    assert_eq!(statuses(&empty), (vec![431], Step::Close));
}

#[test]
fn conditions_and_ranges_reach_the_site() {
    assert_eq!(statuses(&with("If-None-Match: \"1.2-a\"")).0, [304]);
    assert_eq!(ask(&with("Range: bytes=2-4")).0, [(200, "234".to_owned())]);
    assert_eq!(statuses(&with("Range: bytes=10-")).0, [416]);
}

fn site() -> OneFile {
    OneFile {
        now: Cell::new(0),
        uptime: Cell::default(),
    }
}

#[test]
fn unknown_methods_have_no_reply_from_the_site() {
    let (request, _) = request::parse(GET.as_bytes()).unwrap().unwrap();
    assert_eq!(request.method, Method::Get);
    assert!(request.keep_alive && !request.is_http10 && !request.expects_continue);
}
