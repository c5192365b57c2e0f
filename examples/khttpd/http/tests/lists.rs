// SPDX-License-Identifier: GPL-2.0

//! Fields that come in several lines, and lists with empty members (RFC 9110, sections 5.3 and 5.6.1).

use super::{ask, statuses, with, GET};
use crate::conversation::Step;

/// The entity tag of the one file.
const TAG: &str = "\"1.2-a\"";

#[test]
fn lines_of_a_list_count_together() {
    for (fields, status) in [
        (format!("If-Match: {TAG}\r\nIf-Match: \"x\""), 200),
        (format!("If-Match: \"x\"\r\nIf-Match: {TAG}"), 200),
        (format!("If-Match: \"x\"\r\nA: b\r\nIF-MATCH:{TAG}"), 200),
        ("If-Match: \"x\"\r\nIf-Match: \"y\"".to_owned(), 412),
        (format!("If-None-Match: {TAG}\r\nIf-None-Match: \"x\""), 304),
        (
            format!("If-None-Match: \"x\"\r\nif-none-match: W/{TAG}"),
            304,
        ),
        (
            "If-None-Match: \"x\"\r\nIf-None-Match: \"y\"".to_owned(),
            200,
        ),
        ("If-None-Match:\r\nIf-None-Match: *".to_owned(), 304),
        ("Expect: 100-continue\r\nExpect: tea".to_owned(), 417),
        ("Expect:\r\nExpect: tea".to_owned(), 417),
    ] {
        assert_eq!(statuses(&with(&fields)).0, [status], "{fields:?}");
    }
    let close = with("Connection: keep-alive\r\nConnection: x\r\nConnection: close") + GET;
    assert_eq!(statuses(&close), (vec![200], Step::Close));
    let kept = with("Connection: x\r\nConnection: keep-alive").replace("1.1", "1.0") + GET;
    assert_eq!(statuses(&kept), (vec![200, 200], Step::Wait));
}

#[test]
fn empty_members_are_nothing() {
    for fields in [
        "Expect:",
        "Expect: ,",
        "Connection:",
        "Connection: ,, x ,",
        "If-Match: ,*",
        "If-None-Match:",
        "If-None-Match: , \"x\",",
    ] {
        let said = with(fields) + GET;
        assert_eq!(statuses(&said), (vec![200, 200], Step::Wait), "{fields:?}");
    }
    for codings in ["chunked,", ", chunked", "chunked\r\nTransfer-Encoding:"] {
        let said = with(&format!("Transfer-Encoding: {codings}")) + "1\r\nx\r\n0\r\n\r\n" + GET;
        assert_eq!(statuses(&said), (vec![200, 200], Step::Wait), "{codings:?}");
    }
    let expect = with("Expect: 100-continue,\r\nContent-Length: 1");
    let (text, _) = super::talk(expect.as_bytes(), 1000, 5000);
    assert_eq!(text, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(statuses(&with("Connection: ,close,")).1, Step::Close);
}

#[test]
fn a_single_value_in_two_lines_is_none() {
    let range = "Range: bytes=2-4";
    for (fields, content) in [
        (range.to_owned(), "234"),
        // Ignored, as are others that are no range
        (format!("{range}\r\n{range}"), "0123456789"),
        (format!("Range:\r\n{range}"), "0123456789"),
        (format!("{range}\r\nIf-Range: {TAG}"), "234"),
        (
            format!("{range}\r\nIf-Range: {TAG}\r\nIf-Range: {TAG}"),
            "0123456789",
        ),
    ] {
        assert_eq!(
            ask(&with(&fields)).0,
            [(200, content.to_owned())],
            "{fields:?}"
        );
    }
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    for (name, once, twice) in [
        ("If-Modified-Since", 304, 200),
        ("Host", 400, 400),
        ("Content-Length", 400, 400),
    ] {
        let line = format!("{name}: {date}");
        assert_eq!(statuses(&with(&line)).0[0], once, "{name}");
        assert_eq!(
            statuses(&with(&format!("{line}\r\n{line}"))).0[0],
            twice,
            "{name}"
        );
    }
}
