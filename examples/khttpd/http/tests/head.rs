// SPDX-License-Identifier: GPL-2.0

//! Responses to HEAD, which never have a content (RFC 9110, section 9.3.2).

use super::{talk, with, GET};
use crate::{
    check::{Out, Slice, LIMITS},
    conversation::{Conversation, Step},
};

/// The response to one request for the head only: its status, and what stands behind the head.
fn head(said: &str) -> (u16, String) {
    let (text, _) = talk(said.as_bytes(), usize::MAX, 100_000);
    let text = text.trim_start_matches("HTTP/1.1 100 Continue\r\n\r\n");
    let (head, behind) = text.split_once("\r\n\r\n").unwrap();
    (head[9..12].parse().unwrap(), behind.to_owned())
}

#[test]
fn an_error_has_no_content() {
    for (said, status) in [
        (GET.replace("Host: h", "A: b"), 400),
        (GET.replace("1.1\r\n", "1.1\n"), 400),
        (GET.replace("/file", "/%00"), 400),
        (GET.replace("/file", "/none"), 404),
        (with("If-Match: \"x\""), 412),
        (with("Content-Length: 101"), 413),
        (with("Transfer-Encoding: chunked") + "65\r\n", 413),
        (with("Transfer-Encoding: chunked") + "x\r\n", 400),
        (GET.replace("/file", &format!("/{}", "a".repeat(9000))), 414),
        (GET.replace("/file", &format!("/{}", "a".repeat(2000))), 414),
        (with("Expect: tea"), 417),
        (with("Expect: tea\r\nContent-Length: 5"), 417),
        (with(&format!("A: {}", "b".repeat(20_000))), 431),
        (with(&vec!["A: b"; 100].join("\r\n")), 431),
        (with("Transfer-Encoding: gzip, chunked"), 501),
        (GET.replace("1.1", "2.0"), 505),
        (GET.replace("/file", "/folder"), 301),
        (with("If-None-Match: *"), 304),
        (GET.to_owned(), 200),
    ] {
        let said = said.replacen("GET", "HEAD", 1);
        assert_eq!(head(&said), (status, String::new()), "{said:?}");
        // Empty lines before it change nothing.
        let said = format!("\r\n{said}");
        assert_eq!(head(&said), (status, String::new()), "{said:?}");
    }
    // Methods that are not HEAD, and begin like it.
    for method in ["HEADS", "HEA", "head"] {
        let (status, content) = head(&GET.replace("GET", method));
        assert_eq!(
            (status, &*content),
            (501, "501 Not Implemented\n"),
            "{method}"
        );
    }
}

#[test]
fn a_timeout_has_no_content() {
    let (in_head, in_content) = ("HEAD /file HTTP", with("Content-Length: 5") + "12");
    for said in [in_head, &in_content.replace("GET", "HEAD")] {
        let site = super::site();
        let mut conversation = Conversation::<Slice>::default();
        let mut out = Out {
            bytes: Vec::new(),
            room: 10_000,
            waits: false,
        };
        let (consumed, step) = conversation.advance(&site, &LIMITS, said.as_bytes(), &mut out);
        assert_eq!(step, Step::Wait);
        conversation.time_out(&site, &said.as_bytes()[consumed..], &mut out);
        let text = String::from_utf8(out.bytes).unwrap();
        assert!(
            text.starts_with("HTTP/1.1 408 ") && text.ends_with("\r\n\r\n"),
            "{text}"
        );
    }
}
